"""From a worker's answer and the telemetry to a measurement row and its Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from harness.results.series import Series
from harness.telemetry.stages import STAGES, cut

MIB = 2**20


def host_readings(
    telemetry: Mapping[str, Series], begin: int, end: int, cores: int
) -> dict[str, float | None]:
    """Peak memory and mean CPU of the backend's tree, and the share that others used."""

    def rate(name: str) -> float | None:
        return telemetry[name].rate(begin, end) if name in telemetry else None

    memory = (
        telemetry["host_bytes"].within(begin, end).peak() if "host_bytes" in telemetry else None
    )
    tree, run, machine = rate("tree_cpu_s"), rate("run_cpu_s"), rate("machine_cpu_s")
    foreign = None if run is None or machine is None else max(0.0, machine - run) / cores
    there = rate("server_foreign_s")  # on the server's own host, where that is another one
    if there is not None:
        foreign = max(there, foreign or 0.0)
    return {
        "host_memory_mib": memory / MIB if memory is not None else None,
        "cpu_percent": 100 * tree if tree is not None else None,
        "foreign_share": foreign,
    }


def gpu_readings(telemetry: Mapping[str, Series], begin: int, end: int) -> dict[str, Any]:
    """Memory, utilisation, power and energy over all GPUs that were read.

    Power is the energy counter's difference over the time: what NVML calls power is the mean over
    the last second, which reaches into what came before the window. It stands in where a GPU
    counts no energy.
    """

    def each(suffix: str) -> list[Series]:
        return [
            s for name, s in telemetry.items() if name.startswith("gpu") and name.endswith(suffix)
        ]

    if not each("_device_bytes"):
        return {}
    process = sum(s.within(begin, end).peak() or 0.0 for s in each("_process_bytes"))
    used, scope = process, "process"
    if not process:  # some containers hide processes: the difference on the device stands in
        scope = "device"
        used = sum(
            (s.within(begin, end).peak() or 0.0) - float(s.value[0]) for s in each("_device_bytes")
        )
    means = [s.within(begin, end).mean() for s in each("_utilization_percent")]
    polled = [s.within(begin, end).mean() for s in each("_power_w")]
    counted = [s.rate(begin, end) for s in each("_energy_j")]
    watts = _total(counted)
    seconds = (end - begin) / 1e9
    return {
        "gpu_memory_mib": used / MIB, "gpu_memory_scope": scope,
        "gpu_utilization_percent": max((m for m in means if m is not None), default=None),
        "gpu_power_w": watts if watts is not None else _total(polled),
        "gpu_energy_j": watts * seconds if watts is not None else None,
    }  # fmt: skip


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def gpu_spreads(telemetry: Mapping[str, Series], begin: int, end: int) -> dict[str, Any]:
    """Clock and temperature of the GPU, [smallest, largest]; the sampler's own CPU in percent."""
    names = {"_sm_clock_mhz": "gpu_sm_clock_mhz", "_temperature_c": "gpu_temperature_c"}
    found: dict[str, Any] = {}
    for name, series in telemetry.items():
        for suffix, key in names.items():
            value = series.within(begin, end).value
            if name.startswith("gpu") and name.endswith(suffix) and value.size:
                found[key] = [float(value.min()), float(value.max())]
    if "sampler_cpu_s" in telemetry:
        rate = telemetry["sampler_cpu_s"].rate(begin, end)
        found["sampler_cpu_percent"] = 100 * rate if rate is not None else None
    return found


def gpu_stages(
    telemetry: Mapping[str, Series], ends: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """GPU memory of the stages that `ends` (name to monotonic ns) mark: MiB, peak and held.

    The process tree's where the driver tells it, else what the device gained since the baseline.
    """
    order = [(name, ends[name]) for name in STAGES if name in ends]
    for suffix in ("_process_bytes", "_device_bytes"):
        for name, series in telemetry.items():
            if name.startswith("gpu") and name.endswith(suffix) and series.value.any():
                start = 0.0 if suffix == "_process_bytes" else float(series.value[0])
                return {
                    stage.name: {
                        "peak_mib": (stage.peak - start) / MIB,
                        "held_mib": (stage.held - start) / MIB,
                    }
                    for stage in cut(series, order)
                }
    return {}
