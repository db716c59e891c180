"""GPUs beside one another, as NVML and sysfs show them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.doctor import lanes

BUSES = ("00000000:3B:00.0", "00000000:5E:00.0")


def host(tmp_path: Path, *, level: int = 50, links: int = 0, **more: Any) -> Any:
    """NVML of two GPUs, each on a node of its own."""
    for node, bus in enumerate(BUSES):
        folder = tmp_path / f"sys/bus/pci/devices/{bus.lower()[4:]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "numa_node").write_text(f"{node}\n")
        (folder / "local_cpulist").write_text(f"{8 * node}-{8 * node + 7}\n")
    return SimpleNamespace(**{
        "nvmlInit": lambda: None, "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda n: n,
        "nvmlDeviceGetPciInfo": lambda h: SimpleNamespace(busId=BUSES[h].encode()),
        "nvmlDeviceGetMigMode": lambda h: [0, 0], "nvmlDeviceGetPersistenceMode": lambda h: 1,
        "nvmlDeviceGetComputeMode": lambda h: 0, "nvmlDeviceGetCurrPcieLinkWidth": lambda h: 16,
        "nvmlDeviceGetCurrPcieLinkGeneration": lambda h: 5,
        "nvmlDeviceGetTopologyCommonAncestor": lambda a, b: level,
        "nvmlDeviceGetNvLinkState": lambda h, link: int(link < links),
        "nvmlDeviceGetNvLinkRemotePciInfo": lambda h, link: SimpleNamespace(busId=BUSES[1 - h]),
        **more,
    })  # fmt: skip


def said(checks: list[Any]) -> dict[str, tuple[str, str]]:
    return {check.name: (check.status, check.detail) for check in checks}


def test_place_links_and_what_lanes_there_would_be(tmp_path: Path) -> None:
    found = said(lanes.lane_checks(16, host(tmp_path, links=4), tmp_path))
    assert found == {
        "cuda:0": ("ok", "PCIe 5 ×16, NUMA node 0, near CPUs 0-7, 4 NVLinks"),
        "cuda:1": ("ok", "PCIe 5 ×16, NUMA node 1, near CPUs 8-15, 4 NVLinks"),
        "cuda:0–cuda:1": ("ok", "4 NVLinks, across NUMA nodes"),
        "lanes": ("ok", "--devices all: 2 lanes of 8 of 16 cores each"),
    }


@pytest.mark.parametrize(("change", "name", "words"), [
    ({"nvmlDeviceGetMigMode": lambda h: [1, 1], "nvmlDeviceGetMaxMigDeviceCount": lambda h: 7,
      "nvmlDeviceGetMigDeviceHandleByIndex": lambda h, n: [n][n // 2]},
     "cuda:0", "MIG: 2 devices, a lane each"),
    ({"nvmlDeviceGetPersistenceMode": lambda h: 0}, "cuda:1", "no persistence"),
    ({"nvmlDeviceGetComputeMode": lambda h: 3}, "cuda:0", "compute mode exclusive to a process"),
    ({"level": 10}, "cuda:0–cuda:1", "one PCIe switch, copies of one lane may slow the other's"),
])  # fmt: skip
def test_what_is_in_the_way_of_lanes_is_noted(
    tmp_path: Path, change: dict[str, Any], name: str, words: str
) -> None:
    status, detail = said(lanes.lane_checks(16, host(tmp_path, **change), tmp_path))[name]
    assert status == "note" and words in detail


def test_a_daemon_of_mps_and_too_few_cores_are_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(lanes.MPS, raising=False)
    (tmp_path / "tmp/nvidia-mps").mkdir(parents=True)
    (tmp_path / "tmp/nvidia-mps/control").touch()
    found = said(lanes.lane_checks(3, host(tmp_path), tmp_path))
    assert found["MPS"][0] == "note"
    assert found["lanes"] == (
        "note", "--devices all: 2 lanes of 1 of 3 cores each: too few for load generator and server"
    )  # fmt: skip


def test_what_nvml_does_not_say_is_left_out(tmp_path: Path) -> None:
    def unknown(*_: object) -> None:
        raise RuntimeError("Not Supported")

    bare = host(tmp_path)
    for name in vars(bare):
        if name not in ("nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"):
            setattr(bare, name, unknown)
    found = said(lanes.lane_checks(4, bare, tmp_path))
    assert found["cuda:0"] == ("ok", "NVML says no more of it")
    assert set(found) == {"cuda:0", "cuda:1", "lanes"}


def test_without_a_gpu_there_are_lanes_on_processors(tmp_path: Path) -> None:
    none = host(tmp_path, nvmlDeviceGetCount=lambda: 0)
    assert said(lanes.lane_checks(2, none, tmp_path)) == {
        "lanes": ("ok", "without a GPU: up to --devices cpus:2")
    }  # fmt: skip
    assert said(lanes.lane_checks(2, SimpleNamespace(), tmp_path)).keys() == {"lanes"}  # type: ignore[arg-type]


def test_what_is_asked_of_nvml_exists(tmp_path: Path) -> None:
    import pynvml

    for name in vars(host(tmp_path)):
        assert hasattr(pynvml, name)
    levels = {v for k, v in vars(pynvml).items() if k.startswith("NVML_TOPOLOGY_")}
    assert set(lanes.LEVELS) <= levels


def test_lanes_of_one_numa_node_share_its_memory(tmp_path: Path) -> None:
    nvml = host(tmp_path)
    (tmp_path / f"sys/bus/pci/devices/{BUSES[1].lower()[4:]}/numa_node").write_text("0\n")
    _, detail = said(lanes.lane_checks(16, nvml, tmp_path))["lanes"]
    assert detail == (
        "--devices all: 2 lanes of 8 of 16 cores each; those of one NUMA node share its memory "
        "bandwidth"
    )
