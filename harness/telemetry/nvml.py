"""GPU readings through NVML: memory by process, utilisation, power, energy, clocks, temperature.

NVML is the driver's management library (`pynvml`, package nvidia-ml-py). What a GPU, MIG device or
container does not offer reads as nothing, never as an error: the report says what was missing.
All functions take the module as an argument, so that tests can pass one that replays recordings.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any


class Gpu:
    """One GPU or MIG device; every reading is optional.

    A MIG device has memory and processes of its own; power, clocks and temperature are the whole
    board's.
    """

    def __init__(self, nvml: Any, handle: Any, name: str) -> None:
        self._nvml, self._handle = nvml, handle
        self.name = name
        """Prefix of its series, e.g. `gpu0`."""
        self._board = handle
        if self._try(lambda: nvml.nvmlDeviceIsMigDeviceHandle(handle)):
            board = self._try(lambda: nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
            self._board = board or handle

    def _try(self, read: Callable[[], Any]) -> Any:
        with contextlib.suppress(self._nvml.NVMLError, AttributeError):
            return read()
        return None

    def memory(self, mine: set[int], run: set[int]) -> Iterator[tuple[str, float]]:
        """`device_bytes`; where the driver tells, `process_bytes` summed over `mine`.

        `foreign_processes` counts those outside `mine` and `run`, where ours can be seen at all:
        in a container with its own process numbers everything would look foreign.
        """
        nvml, handle = self._nvml, self._handle
        info = self._try(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if info is not None:
            yield "device_bytes", float(info.used)
        processes = self._try(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        if processes is None:
            return
        used = [p.usedGpuMemory for p in processes if p.pid in mine]
        if all(size is not None for size in used):
            yield "process_bytes", float(sum(used))
        if used or not processes:
            yield "foreign_processes", float(sum(p.pid not in mine | run for p in processes))

    def state(self) -> Iterator[tuple[str, float]]:
        """Everything that changes slowly."""
        nvml, board = self._nvml, self._board
        readings: dict[str, Callable[[], float]] = {
            "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(board).gpu,
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(board) / 1e3,
            "energy_j": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1e3,
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_MEM),
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(
                board, nvml.NVML_TEMPERATURE_GPU
            ),
            "clock_events": lambda: clock_events(nvml, board),
        }
        for name, read in readings.items():
            value = self._try(read)
            if value is not None:
                yield name, float(value)


def clock_events(nvml: Any, handle: Any) -> int:
    """The bits that say why the clocks are not higher; older drivers call them throttle reasons."""
    if hasattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons"):
        with contextlib.suppress(nvml.NVMLError):
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


# ------------------------------------------------------------------------------------- which GPU


def find(nvml: Any, device: str, visible: str | None = None) -> Gpu | None:
    """The GPU that `cuda`, `cuda:N`, `GPU-<uuid>` or `MIG-<uuid>` names; None when there is none.

    N counts through `visible` (CUDA_VISIBLE_DEVICES) if it is set, else through all GPUs in the
    order of their PCI buses, which is also NVML's.
    """
    with contextlib.suppress(nvml.NVMLError, ValueError, IndexError):
        if device.startswith(("GPU-", "MIG-")):
            return Gpu(nvml, _by_uuid(nvml, device), _series_name(nvml, device))
        number = int(device.partition(":")[2] or 0)
        if visible:
            chosen = [word.strip() for word in visible.split(",")][number]
            if not chosen.isdigit():
                return find(nvml, chosen)
            number = int(chosen)
        return Gpu(nvml, nvml.nvmlDeviceGetHandleByIndex(number), f"gpu{number}")
    return None


def _by_uuid(nvml: Any, uuid: str) -> Any:
    """CUDA takes a UUID's beginning too, NVML only the whole one."""
    with contextlib.suppress(nvml.NVMLError):
        return nvml.nvmlDeviceGetHandleByUUID(uuid)
    return next(handle for _, handle, full in _everything(nvml) if full.startswith(uuid))


def _series_name(nvml: Any, uuid: str) -> str:
    return next(
        (f"gpu{index}" for index, _, full in _everything(nvml) if full.startswith(uuid)), "gpu0"
    )


def _everything(nvml: Any) -> Iterator[tuple[int, Any, str]]:
    """(board's number, handle, UUID) of every GPU and of every MIG device on it."""
    for index in range(nvml.nvmlDeviceGetCount()):
        board = nvml.nvmlDeviceGetHandleByIndex(index)
        yield index, board, _text(nvml.nvmlDeviceGetUUID(board))
        for slot in range(_mig_slots(nvml, board)):
            with contextlib.suppress(nvml.NVMLError):  # an empty slot
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, slot)
                yield index, handle, _text(nvml.nvmlDeviceGetUUID(handle))


def _mig_slots(nvml: Any, board: Any) -> int:
    with contextlib.suppress(nvml.NVMLError):
        return int(nvml.nvmlDeviceGetMaxMigDeviceCount(board))
    return 0


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def open_gpu(device: str | None) -> Gpu | None:
    """`find` on this machine; None for no device, and where NVML is not there."""
    if device is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        return find(pynvml, device, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # no library, no driver, no permission: no GPU telemetry
        return None
