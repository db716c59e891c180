"""GPU readings through NVML: memory by process, utilisation, power, energy, clocks, temperature.

NVML is the driver's management library (`pynvml`, package nvidia-ml-py). What a GPU, MIG device or
container does not offer reads as nothing, never as an error: the report says what was missing.
All functions take the module as an argument, so that tests can pass one that replays recordings.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TypeVar

from harness.results.series import Quantity, Reading, SeriesKey

T = TypeVar("T")


class NvmlGpu:
    """One GPU or MIG device; every reading is optional.

    A MIG device has memory and processes of its own; power, clocks and temperature are the whole
    board's.
    """

    def __init__(self, nvml: ModuleType, handle: object, name: str) -> None:
        self._nvml, self._handle = nvml, handle
        self.name = name
        """The device of its series, e.g. `gpu0`."""
        self._board = handle
        if self._try(lambda: nvml.nvmlDeviceIsMigDeviceHandle(handle)):
            board = self._try(lambda: nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle))
            self._board = board or handle

    def _try(self, read: Callable[[], T]) -> T | None:
        with contextlib.suppress(self._nvml.NVMLError, AttributeError):
            return read()
        return None

    def _reading(self, quantity: Quantity, value: float) -> Reading:
        return SeriesKey(quantity, self.name), float(value)

    def memory(self, mine: set[int], run: set[int]) -> Iterator[Reading]:
        """`device_bytes`; where the driver tells, `process_bytes` summed over `mine`.

        `foreign_processes` counts those outside `mine` and `run`, where ours can be seen at all:
        in a container with its own process numbers everything would look foreign.
        """
        nvml, handle = self._nvml, self._handle
        info = self._try(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if info is not None:
            yield self._reading(Quantity.DEVICE_BYTES, info.used)
        processes = self._try(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        if processes is None:
            return
        used = [p.usedGpuMemory for p in processes if p.pid in mine]
        if all(size is not None for size in used):
            yield self._reading(Quantity.PROCESS_BYTES, sum(used))
        if used or not processes:
            foreign = sum(p.pid not in mine | run for p in processes)
            yield self._reading(Quantity.FOREIGN_PROCESSES, foreign)

    def state(self) -> Iterator[Reading]:
        """Everything that changes slowly."""
        nvml, board = self._nvml, self._board
        readings: dict[Quantity, Callable[[], float]] = {
            Quantity.UTILIZATION_PERCENT: lambda: nvml.nvmlDeviceGetUtilizationRates(board).gpu,
            Quantity.POWER_W: lambda: nvml.nvmlDeviceGetPowerUsage(board) / 1e3,
            Quantity.POWER_CAP_W: lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(board) / 1e3,
            Quantity.ENERGY_J: lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(board) / 1e3,
            Quantity.SM_CLOCK_MHZ: lambda: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM),
            Quantity.MEMORY_CLOCK_MHZ: lambda: nvml.nvmlDeviceGetClockInfo(
                board, nvml.NVML_CLOCK_MEM
            ),
            Quantity.TEMPERATURE_C: lambda: nvml.nvmlDeviceGetTemperature(
                board, nvml.NVML_TEMPERATURE_GPU
            ),
            Quantity.CLOCK_EVENTS: lambda: clock_events(nvml, board),
        }
        for quantity, read in readings.items():
            value = self._try(read)
            if value is not None:
                yield self._reading(quantity, value)


def clock_events(nvml: ModuleType, handle: object) -> int:
    """The bits that say why the clocks are not higher; older drivers call them throttle reasons."""
    if hasattr(nvml, "nvmlDeviceGetCurrentClocksEventReasons"):
        with contextlib.suppress(nvml.NVMLError):
            return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(handle))
    return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))


# ------------------------------------------------------------------------------------- which GPU


def find(nvml: ModuleType, device: str, visible: str | None = None) -> NvmlGpu | None:
    """The GPU that `cuda`, `cuda:N`, `GPU-<uuid>` or `MIG-<uuid>` names; None when there is none.

    N counts through `visible` (CUDA_VISIBLE_DEVICES) if it is set, else through all GPUs in the
    order of their PCI buses, which is also NVML's.
    """
    with contextlib.suppress(nvml.NVMLError, ValueError, IndexError):
        if device.startswith(("GPU-", "MIG-")):
            return _by_uuid(nvml, device)
        number = int(device.partition(":")[2] or 0)
        if visible:
            chosen = [word.strip() for word in visible.split(",")][number]
            if not chosen.isdigit():
                return find(nvml, chosen)
            number = int(chosen)
        return NvmlGpu(nvml, nvml.nvmlDeviceGetHandleByIndex(number), f"gpu{number}")
    return None


def _by_uuid(nvml: ModuleType, uuid: str) -> NvmlGpu | None:
    """CUDA takes a UUID's beginning too, NVML only the whole one."""
    named = None
    with contextlib.suppress(nvml.NVMLError):
        named = nvml.nvmlDeviceGetHandleByUUID(uuid)
    for index, handle, full in _everything(nvml):
        if full.startswith(uuid):
            return NvmlGpu(nvml, handle if named is None else named, f"gpu{index}")
    return NvmlGpu(nvml, named, "gpu0") if named is not None else None


def _everything(nvml: ModuleType) -> Iterator[tuple[int, object, str]]:
    """(board's number, handle, UUID) of every GPU and of every MIG device on it."""
    for index in range(nvml.nvmlDeviceGetCount()):
        board = nvml.nvmlDeviceGetHandleByIndex(index)
        yield index, board, _text(nvml.nvmlDeviceGetUUID(board))
        for slot in range(_mig_slots(nvml, board)):
            with contextlib.suppress(nvml.NVMLError):  # an empty slot
                handle = nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, slot)
                yield index, handle, _text(nvml.nvmlDeviceGetUUID(handle))


def _mig_slots(nvml: ModuleType, board: object) -> int:
    with contextlib.suppress(nvml.NVMLError):
        return int(nvml.nvmlDeviceGetMaxMigDeviceCount(board))
    return 0


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def open_gpu(device: str | None) -> NvmlGpu | None:
    """`find` on this machine; None for no device, and where NVML is not there."""
    if device is None:
        return None
    try:
        import pynvml

        pynvml.nvmlInit()
        return find(pynvml, device, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except Exception:  # no library, no driver, no permission: no GPU telemetry
        return None
