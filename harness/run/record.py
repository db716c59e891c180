"""From a worker's answer and the telemetry to a measurement row and its Parquet file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.load.samples import OK, Samples
from harness.measure.gpu_gates import check_gpu, check_host, joules_per_inference
from harness.measure.gpu_time import split as gpu_split
from harness.measure.quantiles import FLOORS
from harness.measure.reduce import Reduced, reduce
from harness.measure.steady import window_steadiness
from harness.measure.tail import check_tail
from harness.measure.validity import (
    Finding,
    check_client,
    check_little,
    check_schedule,
    check_steady,
)
from harness.measure.window import Window
from harness.run.rows import MeasurementRow
from harness.run.server_view import server_view
from harness.run.store import atomic_write
from harness.scenario.expand import Point
from harness.telemetry.series import Series
from harness.telemetry.stages import STAGES, cut
from harness.triton.statistics import Split, difference

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


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a measurement row needs to know besides samples, window and telemetry."""

    cores: int
    remote: bool
    """The load generator is not the process that runs the model."""
    flags: tuple[str, ...] = ()
    """Flags that hold for every point of the session."""
    ceiling: float | None = None
    """Requests a second that the generator reaches against a null server."""
    outputs_checked: int = 0
    """Outputs kept under load that were compared with those of a quiet call."""
    outputs_wrong: Sequence[str] = ()
    """What differed."""
    metrics: Mapping[str, Any] | None = None
    """The readings of the server's /metrics: `Scraper.finish`, and the `model`."""


def measurement_row(
    point: Point, round_: int, started: str, window: Window, samples: Samples,
    telemetry: Mapping[str, Series], samples_path: str, conditions: Conditions,
) -> MeasurementRow:  # fmt: skip
    """Everything that one point in one round gave."""
    begin, end = window.begin_ns, window.end_ns
    seconds = (end - begin) / 1e9
    open_loop = point.concurrency is None
    reduced = reduce(samples, begin, end, point.batch_size, open_loop)
    host = host_readings(telemetry, begin, end, conditions.cores)
    split = server_split(window)
    cpu = 100 * window.cpu_seconds / seconds
    foreign = host.pop("foreign_share")
    findings = [
        *(Finding(flag, "") for flag in conditions.flags),
        *(Finding("wrong_outputs", text) for text in conditions.outputs_wrong),
        *_counting(reduced, window, foreign),
        *check_little(samples, begin, end, point.concurrency),
        *_levels(point, samples, begin, end, reduced),
        *_server_count(window, split, samples),
        *check_gpu(telemetry, begin, end),
        *check_host(gpu_time := gpu_split(window.after, window.before)),
    ]
    server, disagreements = server_view(window, samples, conditions.metrics, point.batch_size)
    findings += disagreements
    gpu = gpu_readings(telemetry, begin, end)
    joules = joules_per_inference(gpu.get("gpu_energy_j"), reduced.throughput, seconds)
    if open_loop:
        findings += check_schedule(samples, begin, end)
    if conditions.remote:
        # an open loop spins before each arrival, by design: there its slip is the judge
        busy = None if open_loop else cpu
        findings += check_client(busy, reduced.requests / seconds, conditions.ceiling)
    return MeasurementRow(
        point=point.id, round=round_, backend=point.backend, config=point.config,
        batch_size=point.batch_size, concurrency=point.concurrency,
        request_rate=point.request_rate, started=started, window_begin_ns=begin,
        window_end_ns=end, requests=reduced.requests, errors=reduced.errors,
        throughput=reduced.throughput, latency_mean_ms=reduced.latency_mean_ms,
        latency_ms=reduced.latency_ms, latency_order_ms=reduced.latency_order_ms,
        server_us=dict(split.server_us) if split else {},
        server_count=split.count if split else None, client_cpu_percent=cpu,
        host_memory_mib=host["host_memory_mib"], cpu_percent=host["cpu_percent"],
        samples=samples_path, warmup_requests=int((samples.done <= begin).sum()),
        flags=tuple(dict.fromkeys(f.flag for f in findings)),
        details={
            "findings": {f.flag: f.seen for f in findings if f.seen},
            "errors": dict(samples.messages), "allocators": dict(window.memory),
            "outputs_checked": conditions.outputs_checked,
            **({"ceiling": conditions.ceiling} if conditions.ceiling is not None else {}),
            "memory_since": "session" if conditions.remote else "point",
            **({"joules_per_inference": joules} if joules is not None else {}),
            **({"gpu_time": asdict(gpu_time)} if gpu_time is not None else {}),
            **gpu_spreads(telemetry, begin, end), **server,
        },
        **gpu,
    )  # fmt: skip


def _levels(
    point: Point, samples: Samples, begin: int, end: int, reduced: Reduced
) -> Iterator[Finding]:
    """Whether the window is one steady stretch, long enough; a shape's load moves on purpose."""
    if not point.shape:
        p99 = reduced.latency_ms["p99"]
        yield from check_steady(window_steadiness(samples, begin, end))
        yield from check_tail(samples, begin, end, point.concurrency is None, p99)


def _counting(reduced: Reduced, window: Window, foreign: float | None) -> Iterator[Finding]:
    """What the counts say about themselves."""
    if window.cut:
        yield Finding("window_cut", "")
    if reduced.requests and reduced.errors == reduced.requests:
        yield Finding("all_failed", "")
    elif reduced.errors:
        yield Finding("errors", f"{reduced.errors} of {reduced.requests} requests failed")
    if reduced.latency_ms["p99"] is None:
        yield Finding("few_requests", f"{reduced.requests} requests; p99 needs {FLOORS['p99']}")
    if foreign is not None and foreign > FOREIGN_SHARE:
        yield Finding("foreign_load", f"others used {100 * foreign:.0f} % of all processors")


def server_split(window: Window) -> Split | None:
    """Triton's own view of the window; None for other backends."""
    return difference(window.after, window.before) if "count" in window.before else None


def _server_count(window: Window, split: Split | None, samples: Samples) -> Iterator[Finding]:
    """The server counts a request when it answers, we when the answer is here: those may differ
    by the requests that were open at the window's ends, and by what was answered while the
    server's counts were read.
    """
    if split is None:
        if "count" in window.before:
            yield Finding("count_mismatch", "the server's counters were reset in the window")
        return
    good = samples.status == OK
    sent, done = samples.sent[good], samples.done[good]
    ends = (window.begin_ns, window.end_ns)
    (first, began), (ended, last) = window.reads_ns or tuple((end, end) for end in ends)
    here, least, most = (
        int(((done > low) & (done <= high)).sum())
        for low, high in (ends, (began, ended), (first, last))
    )
    straddling = max(1, *(int(((sent <= end) & (done > end)).sum()) for end in ends))
    if not least - straddling <= split.count <= most + straddling:
        yield Finding("count_mismatch", f"{here} answers here, {split.count} on the server")


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
