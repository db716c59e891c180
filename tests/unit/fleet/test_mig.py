"""MIG devices as lanes, as a made-up NVML lists them: none was there to be tried."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from support.lanes import scenario

from harness.errors import DeviceError, UsageError
from harness.fleet import mig

BOARDS: Any = [
    {"index": 0, "ordinal": 0, "uuid": "GPU-a", "name": "H100", "mig": True},
    {"index": 1, "ordinal": 1, "uuid": "GPU-b", "name": "H100", "mig": True},
]
WHOLE: Any = {"index": 2, "ordinal": 2, "uuid": "GPU-c", "name": "H100", "mig": False}
PARTS = {
    "GPU-a": [("MIG-1", "H100 MIG 1g.10gb"), ("MIG-2", "H100 MIG 1g.10gb")],
    "GPU-b": [("MIG-3", "H100 MIG 1g.10gb"), ("MIG-4", "H100 MIG 3g.40gb")],
}
CORES = [(n,) for n in range(8)]
NEAR = [{0, 1, 2, 3}, {4, 5, 6, 7}, {4, 5, 6, 7}]


def lanes(text: str, gpus: Any = BOARDS, device: str = "cuda") -> Any:
    return mig.lanes(text, gpus, scenario(device), NEAR, CORES, PARTS.__getitem__)


def test_each_device_is_a_lane_near_its_board() -> None:
    found = lanes("MIG-1,MIG-2, MIG-3")
    assert [(x.device, x.uuid, x.visible) for x in found] == [(f"MIG-{n}",) * 3 for n in (1, 2, 3)]
    assert set(found[0].cpus) | set(found[1].cpus) <= {0, 1, 2, 3}
    assert set(found[2].cpus) <= {4, 5, 6, 7}


def test_all_takes_every_device_of_boards_that_are_alike() -> None:
    assert [x.uuid for x in lanes("all", BOARDS[:1])] == ["MIG-1", "MIG-2"]


@pytest.mark.parametrize(("text", "words"), [
    ("MIG-1,MIG-4", "lanes must be alike, and these are H100 MIG 1g.10gb, H100 MIG 3g.40gb"),
    ("MIG-1,MIG-1", "names a device twice"), ("MIG-9", "there is no MIG-9 here"),
])  # fmt: skip
def test_what_can_t_be_lanes(text: str, words: str) -> None:
    with pytest.raises((UsageError, DeviceError), match=words):
        lanes(text)


def test_a_whole_gpu_is_no_peer_of_a_part() -> None:
    with pytest.raises(UsageError, match="lanes must be alike, and these are H100, H100 MIG"):
        lanes("all", [*BOARDS[:1], WHOLE])


def test_a_scenario_that_names_a_second_gpu_can_t_have_it() -> None:
    with pytest.raises(UsageError, match="names cuda:1, and a process sees one MIG device"):
        lanes("all", device="cuda:1")


def test_whether_mig_devices_are_meant() -> None:
    assert mig.is_meant("all", BOARDS) and mig.is_meant("MIG-1", [WHOLE])
    assert not mig.is_meant("all", [WHOLE]) and not mig.is_meant("cuda:2", [*BOARDS, WHOLE])
    with pytest.raises(DeviceError, match="cuda:1 is in MIG mode"):
        mig.is_meant("cuda:2,1", [*BOARDS, WHOLE])


class NvmlError(Exception):
    pass


def test_nvml_lists_the_devices_and_leaves_out_empty_slots() -> None:
    def device(board: str, slot: int) -> str:
        if slot == 1:
            raise NvmlError
        return f"{board}/{slot}"

    nvml: Any = SimpleNamespace(
        nvmlInit=lambda: None, NVMLError=NvmlError, nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetMaxMigDeviceCount=lambda board: 3, nvmlDeviceGetUUID=lambda h: f"MIG-{h}",
        nvmlDeviceGetMigDeviceHandleByIndex=device, nvmlDeviceGetName=lambda h: b"H100 MIG 1g.10gb",
    )  # fmt: skip
    assert mig.instances("GPU-a", nvml) == [
        ("MIG-GPU-a/0", "H100 MIG 1g.10gb"), ("MIG-GPU-a/2", "H100 MIG 1g.10gb"),
    ]  # fmt: skip


def test_without_nvml_there_are_none() -> None:
    assert mig.instances("GPU-a", SimpleNamespace()) == []  # type: ignore[arg-type]
