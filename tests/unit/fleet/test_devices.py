"""Lanes: which GPU, which processors, which environment."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.lanes import scenario

from harness.errors import DeviceError, UsageError
from harness.fleet import devices
from harness.scenario.spec.scenario import Scenario

GPUS: Any = [{"index": n, "ordinal": n, "uuid": f"GPU-{c}", "name": "H100"}
             for n, c in enumerate("abcd")]  # fmt: skip
CORES = [(n, n + 8) for n in range(8)]
NEAR = [{0, 1, 2, 3, 8, 9, 10, 11}] * 2 + [{4, 5, 6, 7, 12, 13, 14, 15}] * 2


def lanes(numbers: list[int], *named: str) -> list[devices.Lane]:
    return devices.gpu_lanes(numbers, GPUS, scenario(*named), NEAR, CORES)


def test_each_lane_sees_its_gpu_alone_and_has_cores_near_it() -> None:
    found = lanes([0, 1, 2, 3], "cuda", "cpu")
    assert [lane.env for lane in found] == [
        {"CUDA_VISIBLE_DEVICES": f"GPU-{c}"} for c in "abcd"
    ]  # fmt: skip
    assert [lane.cpus for lane in found] == [
        (0, 1, 8, 9), (2, 3, 10, 11), (4, 5, 12, 13), (6, 7, 14, 15),
    ]  # fmt: skip
    assert found[2].to_json() == {"device": "cuda:2", "cpus": [4, 5, 12, 13], "gpu": "GPU-c"}


def test_where_the_scenario_names_a_number_the_lanes_gpu_has_it() -> None:
    found = lanes([0, 1], "cuda:1")
    assert [lane.visible for lane in found] == ["GPU-b,GPU-a", "GPU-a,GPU-b"]
    for lane in found:
        assert lane.visible.split(",")[1] == lane.uuid


@pytest.mark.parametrize(("written", "words"), [
    (scenario("cpu"), "no backend on a GPU"),
    (scenario("cuda:0", "cuda:1"), "a lane has one GPU, and the scenario names cuda:0, cuda:1"),
    (scenario("GPU-a"), "names the GPU GPU-a, which only one lane can have"),
    (scenario("cuda:4"), "names cuda:4, and there are 4 GPUs"),
])  # fmt: skip
def test_what_a_lane_can_not_give_is_refused(written: Scenario, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        devices.gpu_lanes([0, 1], GPUS, written, NEAR, CORES)


@pytest.mark.parametrize(("text", "found"), [
    ("all", [0, 1, 2, 3]), ("cuda:0,cuda:2", [0, 2]), ("cuda:3,1", [3, 1]), (" cuda:1 ", [1]),
])  # fmt: skip
def test_devices_by_their_numbers(text: str, found: list[int]) -> None:
    assert devices.chosen(text, GPUS) == found


@pytest.mark.parametrize(("text", "words"), [
    ("0,1", "names no devices"), ("cuda:", "names no devices"), ("cuda:0,0", "names a GPU twice"),
    ("cuda:0,x", "names no devices"), ("cuda:²", "names no devices"),
    ("cuda:4", "there is no cuda:4 here"),
])  # fmt: skip
def test_what_names_no_devices(text: str, words: str) -> None:
    with pytest.raises((UsageError, DeviceError), match=words):
        devices.chosen(text, GPUS)


def test_a_provider_says_where_a_backend_runs_that_names_no_device() -> None:
    on_cpu = scenario(kind="onnxruntime", name="a")
    on_gpu = scenario(kind="onnxruntime", name="a", provider="CUDAExecutionProvider")
    (lane,) = devices.cpu_lanes(1, on_cpu, CORES)
    assert lane.env == {}
    with pytest.raises(UsageError, match="has a backend on cuda"):
        devices.cpu_lanes(1, on_gpu, CORES)
    assert [lane.uuid for lane in devices.gpu_lanes([1], GPUS, on_gpu, NEAR, CORES)] == ["GPU-b"]
    with pytest.raises(UsageError, match="no backend on a GPU"):
        devices.gpu_lanes([1], GPUS, on_cpu, NEAR, CORES)


def test_processors_without_a_gpu() -> None:
    found = devices.cpu_lanes(3, scenario("cpu"), CORES)
    assert [lane.device for lane in found] == ["cpu 0-1,8-9", "cpu 2-3,10-11", "cpu 4-5,12-13"]
    assert all(lane.env == {} for lane in found)
    for count, words in (
        (9, "8 cores can't be dealt out to 9"),
        (0, "can't be dealt out to 0"),
        (10**12, "to 1000000000000"),
    ):
        with pytest.raises(UsageError, match=words):
            devices.cpu_lanes(count, scenario("cpu"), CORES)
    with pytest.raises(UsageError, match="has a backend on cuda"):
        devices.cpu_lanes(2, scenario("cuda"), CORES)


@given(
    st.lists(st.sets(st.integers(0, 11)), min_size=1, max_size=4),
    st.integers(4, 12), st.booleans(),
)  # fmt: skip
def test_no_core_is_in_two_lanes_and_all_have_as_many(
    near: list[set[int]], count: int, threads: bool
) -> None:
    cores = [(n, n + 12) if threads else (n,) for n in range(count)]
    dealt = devices.deal(near, cores)
    assert len({len(cpus) for cpus in dealt}) == 1 and dealt[0]
    every = [cpu for cpus in dealt for cpu in cpus]
    assert len(set(every)) == len(every)
    for cpus in dealt:
        assert all(set(core) <= set(cpus) or not set(core) & set(cpus) for core in cores)


def test_cores_and_the_node_of_a_gpu_are_read_from_sysfs(tmp_path: Path) -> None:
    for cpu in range(4):
        file = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    assert devices.cores([0, 1, 2, 3], tmp_path) == [(0, 2), (1, 3)]
    assert devices.cores([0, 3, 9], tmp_path) == [(0,), (3,), (9,)]
    bus = tmp_path / "sys/bus/pci/devices/0000:3b:00.0"
    bus.mkdir(parents=True)
    (bus / "local_cpulist").write_text("0-2,8\n")
    nvml: Any = SimpleNamespace(
        nvmlInit=lambda: None, nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetPciInfo=lambda h: SimpleNamespace(busId=b"00000000:3B:00.0"),
    )  # fmt: skip
    assert devices.near("GPU-a", tmp_path, nvml) == {0, 1, 2, 8}
    (bus / "local_cpulist").write_text("none\n")
    assert devices.near("GPU-a", tmp_path, nvml) == set()
    assert devices.near("GPU-a", tmp_path, SimpleNamespace()) == set()  # type: ignore[arg-type]


def test_a_gpu_that_fell_off_the_bus_is_gone_and_no_other() -> None:
    import pynvml

    def asked(error: int | None) -> Any:
        def handle(uuid: str) -> str:
            if error is not None:
                raise pynvml.NVMLError(error)
            return uuid

        return SimpleNamespace(**{
            **vars(pynvml), "nvmlInit": lambda: None, "nvmlDeviceGetHandleByUUID": handle,
            "nvmlDeviceGetMemoryInfo": lambda h: h,
        })  # fmt: skip

    assert devices.gone("GPU-a", asked(pynvml.NVML_ERROR_GPU_IS_LOST))
    assert devices.gone("GPU-a", asked(pynvml.NVML_ERROR_NOT_FOUND))
    assert devices.gone("GPU-a", asked(pynvml.NVML_ERROR_NOT_SUPPORTED)) == ""
    assert devices.gone("GPU-a", asked(None)) == ""
