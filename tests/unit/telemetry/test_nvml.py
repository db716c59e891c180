"""NVML's answers turned into readings, from a module that replays them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import pytest

from harness.telemetry.nvml import Reading, find


class NVMLError(Exception):
    pass


def process(pid: int, used: int | None) -> SimpleNamespace:
    return SimpleNamespace(pid=pid, usedGpuMemory=used)


class Recorded:
    """Two GPUs; the second has two MIG devices in slots 0 and 2."""

    NVMLError = NVMLError
    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVML_TEMPERATURE_GPU = 1, 2, 0
    UUIDS = {  # noqa: RUF012
        "board0": "GPU-aaaa-1", "board1": b"GPU-bbbb-2", "mig0": "MIG-cccc", "mig2": "MIG-dddd",
    }  # fmt: skip

    def __init__(self, **missing: bool) -> None:
        self.processes: Any = [process(10, 500), process(11, 70), process(99, 1)]
        self.missing = missing

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if index > 1:
            raise NVMLError("invalid argument")
        return f"board{index}"

    def nvmlDeviceGetUUID(self, handle: str) -> str | bytes:
        return self.UUIDS[handle]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        for handle, full in self.UUIDS.items():
            if full in (uuid, uuid.encode()):
                return handle
        raise NVMLError("not found")

    def nvmlDeviceGetMaxMigDeviceCount(self, board: str) -> int:
        if board == "board0":
            raise NVMLError("not supported")
        return 3

    def nvmlDeviceGetMigDeviceHandleByIndex(self, board: str, slot: int) -> str:
        if slot == 1:
            raise NVMLError("not found")
        return f"mig{slot}"

    def nvmlDeviceIsMigDeviceHandle(self, handle: str) -> int:
        return int(handle.startswith("mig"))

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:
        return "board1"

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(used={"board0": 1000, "board1": 2000}.get(handle, 300))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> Any:
        if self.processes is None:
            raise NVMLError("not permitted")
        return self.processes

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        return SimpleNamespace(gpu=87)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        assert handle.startswith("board"), "a MIG device has no power reading"
        return 612_500

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        raise NVMLError("not supported")

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:
        return {1: 1980, 2: 3201}[kind]

    def nvmlDeviceGetTemperature(self, handle: str, kind: int) -> int:
        return 61

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return 0x4


def named(readings: Iterable[Reading]) -> dict[str, float]:
    """By quantity, of the one device that was read."""
    found = list(readings)
    assert len({key.device for key, _ in found}) == 1
    return {key.quantity.value: value for key, value in found}


def name_of(device: str, visible: str | None = None) -> tuple[str, Any] | None:
    gpu = find(Recorded(), device, visible)
    return None if gpu is None else (gpu.name, gpu._handle)


@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cuda", None, ("gpu0", "board0")),
        ("cuda:1", None, ("gpu1", "board1")),
        ("cuda:2", None, None),
        ("cuda:0", "1", ("gpu1", "board1")),
        ("cuda:1", "1,0", ("gpu0", "board0")),
        ("cuda:1", "1", None),
        ("cuda", "GPU-bbbb", ("gpu1", "board1")),
        ("GPU-aaaa-1", None, ("gpu0", "board0")),
        ("GPU-aa", None, ("gpu0", "board0")),
        ("MIG-dddd", None, ("gpu1", "mig2")),
        ("cuda", "MIG-cccc", ("gpu1", "mig0")),
    ],
)
def test_which_gpu(device: str, visible: str | None, expected: tuple[str, str] | None) -> None:
    assert name_of(device, visible) == expected


def test_memory_of_the_tree_and_of_others() -> None:
    nvml = Recorded()
    gpu = find(nvml, "cuda")
    assert gpu is not None
    assert named(gpu.memory({10, 11, 12}, {10, 11})) == {
        "device_bytes": 1000.0, "process_bytes": 570.0, "foreign_processes": 1.0,
    }  # fmt: skip
    assert named(gpu.memory({10}, {10, 11, 99}))["foreign_processes"] == 0.0


def test_processes_that_the_driver_hides_are_not_guessed() -> None:
    nvml = Recorded()
    gpu = find(nvml, "cuda")
    assert gpu is not None
    nvml.processes = None
    assert named(gpu.memory({10}, set())) == {"device_bytes": 1000.0}
    nvml.processes = [process(10, None)]
    assert "process_bytes" not in named(gpu.memory({10}, set()))
    nvml.processes = [process(4242, 500)]  # a container's own process numbers: ours, or foreign?
    assert "foreign_processes" not in named(gpu.memory({10}, set()))
    nvml.processes = []
    assert named(gpu.memory({10}, set()))["foreign_processes"] == 0.0


@pytest.mark.parametrize("device", ["cuda:1", "MIG-cccc"])
def test_state_leaves_out_what_is_not_offered(device: str) -> None:
    gpu = find(Recorded(), device)
    assert gpu is not None
    assert named(gpu.state()) == {
        "utilization_percent": 87.0, "power_w": 612.5, "sm_clock_mhz": 1980.0,
        "memory_clock_mhz": 3201.0, "temperature_c": 61.0, "clock_events": 4.0,
    }  # fmt: skip


def test_older_drivers_call_the_events_throttle_reasons(monkeypatch: pytest.MonkeyPatch) -> None:
    class Old(Recorded):
        nvmlDeviceGetCurrentClocksEventReasons: Callable[..., int] = property(  # type: ignore[assignment]
            lambda self: (_ for _ in ()).throw(AttributeError())
        )

        def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:
            return 0x40

    gpu = find(Old(), "cuda")
    assert gpu is not None
    assert named(gpu.state())["clock_events"] == 0x40
