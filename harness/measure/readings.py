"""From a worker's answer and the telemetry to a measurement row and its Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from typing_extensions import TypedDict

from harness.results.details import MeasurementDetails
from harness.results.series import Quantity, Readings, SeriesKey, each
from harness.telemetry.stages import STAGES, cut

MIB = 2**20


class HostReadings(TypedDict):
    """Of a window: fields of a row."""

    host_memory_mib: float | None
    cpu_percent: float | None
    cpu_cores: float | None


class GpuReadings(TypedDict, total=False):
    """Of a window: fields of a row; empty without a GPU."""

    gpu_memory_mib: float
    gpu_memory_scope: str
    gpu_utilization_percent: float | None
    gpu_power_w: float | None
    gpu_energy_j: float | None


def host_readings(telemetry: Readings, begin: int, end: int) -> HostReadings:
    """Peak memory and mean CPU of the backend's tree."""
    resident = telemetry.get(SeriesKey(Quantity.HOST_BYTES))
    memory = resident.within(begin, end).peak() if resident is not None else None
    tree = _rate(telemetry, Quantity.TREE_CPU_S, begin, end)
    return {
        "host_memory_mib": memory / MIB if memory is not None else None,
        "cpu_percent": 100 * tree if tree is not None else None,
        "cpu_cores": tree,
    }


@dataclass(frozen=True, slots=True)
class CpuReadings:
    """What a window's processors did beside the run; None where it was not read."""

    foreign: float | None
    """The share that others used: of the processors that the run may use, of its control group's
    quota, or of the server's own host, whichever is largest."""
    stolen: float | None
    """The share of the processor time that was wanted which the hypervisor gave to others."""
    throttled: float | None
    """The share of the quota's periods in which it was used up."""


def cpu_readings(telemetry: Readings, begin: int, end: int) -> CpuReadings:
    """The CPUs of a window."""

    def rate(quantity: Quantity) -> float | None:
        return _rate(telemetry, quantity, begin, end)

    run, machine, steal = map(
        rate, (Quantity.RUN_CPU_S, Quantity.MACHINE_CPU_S, Quantity.MACHINE_STEAL_S)
    )
    shares = [rate(Quantity.SERVER_FOREIGN_S)]
    for used, of in (
        (machine, Quantity.MACHINE_CPUS), (rate(Quantity.GROUP_CPU_S), Quantity.GROUP_CPUS)
    ):  # fmt: skip
        cpus = telemetry.get(SeriesKey(of))
        if run is not None and used is not None and cpus is not None:
            shares.append(max(0.0, used - run) / float(cpus.value[-1]))
    periods, used_up = map(rate, (Quantity.GROUP_PERIODS, Quantity.GROUP_THROTTLED))
    wanted = (machine or 0.0) + (steal or 0.0)
    return CpuReadings(
        max((s for s in shares if s is not None), default=None),
        steal / wanted if steal is not None and wanted else None,
        used_up / periods if used_up is not None and periods else None,
    )


def _rate(telemetry: Readings, quantity: Quantity, begin: int, end: int) -> float | None:
    series = telemetry.get(SeriesKey(quantity))
    return series.rate(begin, end) if series is not None else None


def gpu_readings(telemetry: Readings, begin: int, end: int) -> GpuReadings:
    """Memory, utilisation, power and energy over all GPUs that were read.

    Power is the energy counter's difference over the time: what NVML calls power is the mean over
    the last second, which reaches into what came before the window. It stands in where a GPU
    counts no energy.
    """

    def peaks(quantity: Quantity) -> list[float]:
        return [s.within(begin, end).peak() or 0.0 for s in each(telemetry, quantity)]

    def means(quantity: Quantity) -> list[float | None]:
        return [s.within(begin, end).mean() for s in each(telemetry, quantity)]

    devices = each(telemetry, Quantity.DEVICE_BYTES)
    if not devices:
        return {}
    used, scope = sum(peaks(Quantity.PROCESS_BYTES)), "process"
    if not used:  # some containers hide processes: the difference on the device stands in
        scope = "device"
        used = sum(peaks(Quantity.DEVICE_BYTES)) - sum(float(s.value[0]) for s in devices)
    usage = [m for m in means(Quantity.UTILIZATION_PERCENT) if m is not None]
    watts = _total(s.rate(begin, end) for s in each(telemetry, Quantity.ENERGY_J))
    return {
        "gpu_memory_mib": used / MIB, "gpu_memory_scope": scope,
        "gpu_utilization_percent": max(usage, default=None),
        "gpu_power_w": watts if watts is not None else _total(means(Quantity.POWER_W)),
        "gpu_energy_j": watts * ((end - begin) / 1e9) if watts is not None else None,
    }  # fmt: skip


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def spreads(telemetry: Readings, begin: int, end: int) -> MeasurementDetails:
    """Clocks of GPU and CPUs, temperature of the GPU, [smallest, largest]; the sampler's own CPU in
    percent.
    """

    def spread(quantity: Quantity) -> list[float]:
        """Of the last GPU that has readings."""
        values = [s.within(begin, end).value for s in each(telemetry, quantity)]
        return next(([float(v.min()), float(v.max())] for v in reversed(values) if v.size), [])

    found: MeasurementDetails = {}
    if clock := spread(Quantity.SM_CLOCK_MHZ):
        found["gpu_sm_clock_mhz"] = clock
    if temperature := spread(Quantity.TEMPERATURE_C):
        found["gpu_temperature_c"] = temperature
    if clock := spread(Quantity.CPU_MHZ):
        found["cpu_mhz"] = clock
    sampler = telemetry.get(SeriesKey(Quantity.SAMPLER_CPU_S))
    if sampler is not None:
        rate = sampler.rate(begin, end)
        found["sampler_cpu_percent"] = 100 * rate if rate is not None else None
    return found


def gpu_stages(telemetry: Readings, ends: Mapping[str, int]) -> dict[str, dict[str, float]]:
    """GPU memory of the stages that `ends` (name to monotonic ns) mark: MiB, peak and held.

    The process tree's where the driver tells it, else what the device gained since the baseline.
    """
    order = [(name, ends[name]) for name in STAGES if name in ends]
    for quantity in (Quantity.PROCESS_BYTES, Quantity.DEVICE_BYTES):
        for series in each(telemetry, quantity):
            if series.value.any():
                start = 0.0 if quantity is Quantity.PROCESS_BYTES else float(series.value[0])
                return {
                    stage.name: {
                        "peak_mib": (stage.peak - start) / MIB,
                        "held_mib": (stage.held - start) / MIB,
                    }
                    for stage in cut(series, order)
                }
    return {}
