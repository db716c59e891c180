"""GPU readings through NVML: memory by process, utilisation, power, energy, clocks, temperature.

NVML is the driver's management library (`pynvml`, package nvidia-ml-py). What a GPU or container
does not offer reads as nothing, never as an error: the report says what was missing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


class Gpu:
    """One GPU; every reading is optional."""

    def __init__(self, nvml: Any, index: int) -> None:
        self._nvml = nvml
        self.index = index
        self._handle = nvml.nvmlDeviceGetHandleByIndex(index)

    def _try(self, read: Callable[[], Any]) -> Any:
        with contextlib.suppress(self._nvml.NVMLError):
            return read()
        return None

    def memory(self, pids: set[int]) -> Iterator[tuple[str, float]]:
        """`device_bytes` and, where the driver tells, `process_bytes` summed over `pids`."""
        nvml, handle = self._nvml, self._handle
        info = self._try(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        if info is not None:
            yield "device_bytes", float(info.used)
        processes = self._try(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle))
        if processes is not None:
            mine = [p.usedGpuMemory for p in processes if p.pid in pids]
            if all(used is not None for used in mine):
                yield "process_bytes", float(sum(mine))
            yield "foreign_processes", float(sum(p.pid not in pids for p in processes))

    def state(self) -> Iterator[tuple[str, float]]:
        """Everything that changes slowly."""
        nvml, handle = self._nvml, self._handle
        readings: dict[str, Callable[[], float]] = {
            "utilization_percent": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3,
            "energy_j": lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle) / 1e3,
            "sm_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_MEM),
            "temperature_c": lambda: nvml.nvmlDeviceGetTemperature(
                handle, nvml.NVML_TEMPERATURE_GPU
            ),
            "throttle_reasons": lambda: nvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        }
        for name, read in readings.items():
            value = self._try(read)
            if value is not None:
                yield name, float(value)


def gpus() -> list[Gpu]:
    """The GPUs of this machine; none where NVML is not there."""
    try:
        import pynvml

        pynvml.nvmlInit()
        return [Gpu(pynvml, i) for i in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # no library, no driver, no permission: no GPU telemetry
        return []
