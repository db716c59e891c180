"""From a worker's answer and the telemetry to a measurement row and its Parquet file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.measure.agreement import server_view
from harness.measure.gpu_gates import check_gpu, check_host, joules_per_inference
from harness.measure.gpu_time import split as gpu_split
from harness.measure.quantiles import FLOORS
from harness.measure.readings import foreign_share, gpu_readings, gpu_spreads, host_readings
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
from harness.results.rows import MeasurementRow
from harness.results.samples import OK, Samples
from harness.results.series import Readings
from harness.scenario.points import Point
from harness.triton.counters.statistics import Split, difference

FOREIGN_SHARE = 0.1
"""Share of all processors that other processes may use before a measurement is flagged."""


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
    telemetry: Readings, samples_path: str, conditions: Conditions,
) -> MeasurementRow:  # fmt: skip
    """Everything that one point in one round gave."""
    begin, end = window.begin_ns, window.end_ns
    seconds = (end - begin) / 1e9
    open_loop = point.concurrency is None
    reduced = reduce(samples, begin, end, point.batch_size, open_loop)
    split = server_split(window)
    cpu = 100 * window.cpu_seconds / seconds
    foreign = foreign_share(telemetry, begin, end, conditions.cores)
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
        **host_readings(telemetry, begin, end), **gpu,
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
