"""From a worker's answer and the telemetry to a measurement row and its Parquet file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.load.samples import Samples
from harness.measure.reduce import reduce
from harness.measure.window import Window
from harness.run.rows import MeasurementRow
from harness.run.store import atomic_write
from harness.scenario.expand import Point
from harness.telemetry.series import Series

MIB = 2**20
FOREIGN_SHARE = 0.1
"""Share of all processors that other processes may use before a measurement is flagged."""
_STATUS_COLUMNS = ("scheduled", "sent", "done", "status", "caller")


def write_samples(path: Path, samples: Samples, metadata: Mapping[str, str]) -> None:
    """Raw samples as Parquet: int64 ns `scheduled`, `sent`, `done`; `status`; `caller`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: getattr(samples, name) for name in _STATUS_COLUMNS})
    with atomic_write(path) as temporary:
        pq.write_table(table.replace_schema_metadata(dict(metadata)), temporary, compression="zstd")


def read_samples(path: Path) -> Samples:
    """Read what `write_samples` wrote."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    return Samples(*(table[name].to_numpy() for name in _STATUS_COLUMNS))


def measurement_row(
    point: Point, round_: int, started: str, window: Window, samples: Samples,
    telemetry: Mapping[str, Series], *, samples_path: str, cores: int, extra_flags: tuple[str, ...],
) -> MeasurementRow:  # fmt: skip
    """Everything that one point in one round gave."""
    begin, end = window.begin_ns, window.end_ns
    reduced = reduce(samples, begin, end, point.batch_size)
    host = host_readings(telemetry, begin, end, cores)
    server_us, server_count, server_flags = server_split(window)
    flags = [*extra_flags, *server_flags]
    flags += ["window_cut"] if window.cut else []
    flags += ["errors"] if 0 < reduced.errors < reduced.requests else []
    flags += ["all_failed"] if reduced.errors == reduced.requests else []
    flags += ["few_requests"] if reduced.latency_ms["p99"] is None else []
    flags += ["foreign_load"] if (host.pop("foreign_share") or 0) > FOREIGN_SHARE else []
    if server_count is not None:
        slack = max(point.concurrency or 1, 1)
        flags += ["count_mismatch"] if abs(server_count - reduced.requests) > slack else []
    return MeasurementRow(
        point=point.id, round=round_, backend=point.backend, config=point.config,
        batch_size=point.batch_size, concurrency=point.concurrency,
        request_rate=point.request_rate, started=started, window_begin_ns=begin,
        window_end_ns=end, requests=reduced.requests, errors=reduced.errors,
        throughput=reduced.throughput, latency_mean_ms=reduced.latency_mean_ms,
        latency_ms=reduced.latency_ms, latency_order_ms=reduced.latency_order_ms,
        server_us=server_us, server_count=server_count,
        client_cpu_percent=100 * window.cpu_seconds / ((end - begin) / 1e9),
        samples=samples_path, warmup_requests=int((samples.done <= begin).sum()),
        flags=tuple(dict.fromkeys(flags)), **host, **gpu_readings(telemetry, begin, end),
        details={"errors": dict(samples.messages), "allocators": dict(window.memory)},
    )  # fmt: skip


def server_split(window: Window) -> tuple[dict[str, float], int | None, list[str]]:
    """Triton's own view of the window: µs a request by part, its request count, flags."""
    if not window.before:
        return {}, None, []
    from harness.triton.statistics import difference

    split = difference(window.after, window.before)
    if split is None:
        return {}, None, ["count_mismatch"]
    return dict(split.server_us), split.count, []


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
    return {
        "host_memory_mib": memory / MIB if memory is not None else None,
        "cpu_percent": 100 * tree if tree is not None else None,
        "foreign_share": foreign,
    }


def gpu_readings(telemetry: Mapping[str, Series], begin: int, end: int) -> dict[str, Any]:
    """Memory, utilisation, power and energy over all GPUs that were read."""

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
    power = [s.within(begin, end).mean() for s in each("_power_w")]
    energy = [s.rate(begin, end) for s in each("_energy_j")]
    seconds = (end - begin) / 1e9
    return {
        "gpu_memory_mib": used / MIB, "gpu_memory_scope": scope,
        "gpu_utilization_percent": max((m for m in means if m is not None), default=None),
        "gpu_power_w": sum(p for p in power if p is not None) if power else None,
        "gpu_energy_j": sum(e * seconds for e in energy if e is not None) if energy else None,
    }  # fmt: skip
