"""From samples, counters and telemetry to a measurement row: of the measured model, and of each
co-located one, whose numbers are made and judged in the same way over the same window.

All processes of a machine share the monotonic clock, so a window can be cut out of any samples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

from harness.gap.path import request_path
from harness.measure import validity
from harness.measure.agreement import server_view
from harness.measure.distribution import latency_counts
from harness.measure.gpu_gates import check_gpu, check_host, joules_per_inference
from harness.measure.gpu_time import launching
from harness.measure.gpu_time import split as gpu_split
from harness.measure.quantiles import FLOORS, percentiles
from harness.measure.readings import cpu_readings, gpu_readings, host_readings, spreads
from harness.measure.reduce import Reduced, in_window, reduce
from harness.measure.steady import window_steadiness
from harness.measure.transient import window_leak, window_start
from harness.measure.validity import INVALIDATES, Finding
from harness.measure.window import Window, judged_from
from harness.results.details import ColocatedDetails, GpuTimes, MeasurementDetails, SentPart
from harness.results.rows import MeasurementRow
from harness.results.samples import OK, SHED, UNFINISHED, Samples
from harness.results.series import Readings
from harness.scenario.points import Point
from harness.scenario.sizes import Part, label_of
from harness.scenario.spec.colocated import ColocatedLoad
from harness.triton.counters.statistics import Split, difference


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a measurement row needs to know besides samples, window and telemetry."""

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
    outputs_flag: str = "wrong_outputs"
    """What that is called."""
    metrics: Mapping[str, object] | None = None
    """The readings of the server's /metrics: `Scraper.finish`, and the `model`."""
    traces: Sequence[Sequence[int]] = ()
    """The stages of the requests that the server traced: `harness.triton.counters.trace`."""
    counted: Window | None = None
    """The stretch at whose ends the counters were read, where that is not the window: a co-located
    model's load begins before the window and ends after it."""
    no_telemetry: str = ""
    """Why readings are missing; empty where they are not."""
    level: bool = True
    """Whether the load on the server is to stay as it is within the window."""
    less_launching: str = ""
    """The setting that would help where launching holds the GPU back."""
    rank_cached: bool = False
    """Whether what a response cache answered is wanted beside the rest."""
    parts: Sequence[Part] = ()
    """What the load mixes; one part or none: all requests have the same sizes."""


def measurement_row(
    point: Point, round_: int, started: str, window: Window, samples: Samples,
    telemetry: Readings, samples_path: str, conditions: Conditions,
) -> MeasurementRow:  # fmt: skip
    """Everything that one model gave at one point in one round, and every rule that judges it."""
    begin, end, judged = window.begin_ns, window.end_ns, judged_from(window, samples)
    counted = conditions.counted or window
    reduced = reduce(samples, begin, end, point.batch_size, point.concurrency is None)
    cpus = cpu_readings(telemetry, begin, end)
    gpu = gpu_readings(telemetry, begin, end)
    split = difference(counted.after, counted.before) if "count" in counted.before else None
    server, disagreements = server_view(counted, samples, conditions.metrics, point.batch_size)
    findings = [
        *_findings(point, window, samples, reduced, conditions, judged),
        *([Finding("window_cut", "")] if window.cut else []),
        *validity.check_cpus(cpus.foreign, cpus.stolen, cpus.throttled),
        *check_gpu(telemetry, begin, end),
        *_launching(counted, conditions.less_launching),
        *_server_count(counted, split, samples), *disagreements,
        *_cached(split, server, conditions.rank_cached),
        *([Finding("no_telemetry", why)] if (why := conditions.no_telemetry) else []),
    ]  # fmt: skip
    return MeasurementRow(
        point=point.id, round=round_, backend=point.backend, config=point.config,
        batch_size=point.batch_size, sizes=point.sizes, concurrency=point.concurrency,
        request_rate=point.request_rate, started=started, window_begin_ns=begin,
        window_end_ns=end, **asdict(reduced), server_us=dict(split.server_us) if split else {},
        server_count=split.count if split else None, client_cpu_percent=counted.cpu_percent,
        samples=samples_path, warmup_requests=int((samples.done <= begin).sum()),
        flags=tuple(dict.fromkeys(f.flag for f in findings)),
        details={
            "findings": {f.flag: f.seen for f in findings if f.seen},
            **_details(point, window, samples, conditions, judged),
            "cpu_percent_lost": {k: 100 * v for k, v in asdict(cpus).items() if v is not None},
            **latency_counts(samples, begin, end, point.concurrency is None),
            **_mix(samples, begin, end, point, conditions.parts), **spreads(telemetry, begin, end),
            **_energy(gpu.get("gpu_energy_j"), reduced.throughput, window.seconds), **server,
        },
        **host_readings(telemetry, begin, end), **gpu,
    )  # fmt: skip


def _mix(
    samples: Samples, begin: int, end: int, point: Point, parts: Sequence[Part]
) -> MeasurementDetails:
    """What was really sent of each part of a mix in the window, and how it fared."""
    if len(parts) < 2 or samples.which is None:
        return {}
    inside = in_window(samples, begin, end, point.concurrency is None)
    sent = samples.which[inside & (samples.status != SHED) & (samples.status != UNFINISHED)]
    found = []
    for index, part in enumerate(parts):
        mine = inside & (samples.which == index)
        failed = samples.status[mine] != OK
        latency = samples.done[mine] - samples.scheduled[mine]
        found.append(SentPart(
            sizes=label_of(part.sizes), share=part.share,
            sent=float((sent == index).mean()) if sent.size else 0.0, requests=int(mine.sum()),
            errors=int(failed.sum()), latency_ms=percentiles(latency, failed),
        ))  # fmt: skip
    return {"mix": found}


def _launching(counted: Window, helps: str) -> Iterator[Finding]:
    after, before = counted.after, counted.before
    return check_host(gpu_split(after, before), launching(after, before, counted.seconds), helps)


def _details(
    point: Point, window: Window, samples: Samples, conditions: Conditions, judged: int
) -> MeasurementDetails:
    """What has no column of its own."""
    counted = conditions.counted or window
    begin, end = window.begin_ns, window.end_ns
    start = window_start(samples, judged, end) if conditions.level else None
    gpu_time = _gpu_times(counted)
    traces, open_loop = conditions.traces, point.concurrency is None
    path = request_path(samples, begin, end, traces, open_loop=open_loop)
    return {
        "errors": dict(samples.messages), "allocators": dict(counted.memory),
        "outputs_checked": conditions.outputs_checked,
        **({"ceiling": conditions.ceiling} if conditions.ceiling is not None else {}),
        "memory_since": "session" if conditions.remote else "point",
        **({"window_start": [*start]} if start else {}), **({"path": path} if path else {}),
        **({"gpu_time": gpu_time} if gpu_time is not None else {}),
    }  # fmt: skip


def _gpu_times(counted: Window) -> GpuTimes | None:
    times = gpu_split(counted.after, counted.before)
    busy = launching(counted.after, counted.before, counted.seconds)
    return times if times is None or busy is None else {**times, "launching": busy}


def _energy(joules: float | None, throughput: float, seconds: float) -> MeasurementDetails:
    each = joules_per_inference(joules, throughput, seconds)
    return {} if each is None else {"joules_per_inference": each}


def _findings(
    point: Point, window: Window, samples: Samples, reduced: Reduced, conditions: Conditions,
    judged: int,
) -> Iterator[Finding]:  # fmt: skip
    """What the model's own requests say, of the window's beginning those from `judged` on."""
    begin, end, open_loop = window.begin_ns, window.end_ns, point.concurrency is None
    yield from (Finding(flag, "") for flag in conditions.flags)
    yield from (Finding(conditions.outputs_flag, text) for text in conditions.outputs_wrong)
    yield from _counting(reduced)
    yield from validity.check_little(samples, begin, end, point.concurrency)
    if conditions.level:
        yield from validity.check_steady(window_steadiness(samples, begin, end))
        yield from validity.check_warm_up(window_leak(samples, judged, end))
    if open_loop:
        yield from validity.check_schedule(samples, begin, end)
    if conditions.remote:
        # an open loop spins before each arrival, by design: there its slip is the judge
        busy = None if open_loop else (conditions.counted or window).cpu_percent
        yield from validity.check_client(
            busy, reduced.requests / window.seconds, conditions.ceiling
        )


def _counting(reduced: Reduced) -> Iterator[Finding]:
    """What the counts say about themselves."""
    failed = f"{reduced.errors} of {reduced.requests} requests failed"
    if reduced.errors == reduced.requests:
        yield Finding("all_failed", failed)
    elif reduced.errors:
        yield Finding("errors", failed)
    if reduced.latency_ms["p99"] is None:
        yield Finding("few_requests", f"{reduced.requests} requests; p99 needs {FLOORS['p99']}")


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


def _cached(split: Split | None, server: MeasurementDetails, ranked: bool) -> Iterator[Finding]:
    """What response caches answered: that of the model, and those of the models it is made of."""
    cache = server.get("cache", {})
    hits = {"the model": (cache.get("cache_hits", 0.0), split.count if split else 0.0)}
    for name, part in server.get("composing", {}).items():
        hits[name] = part.get("cache_hits", 0.0), part["count"]
    return validity.check_cache(hits, ranked=ranked)


# ----------------------------------------------------------------------------- co-located models


def with_colocated(
    row: MeasurementRow, others: Mapping[str, tuple[MeasurementRow, ColocatedLoad]]
) -> MeasurementRow:
    """The row of the measured model with those of the others as `details["colocated"]`, by name.

    A model that is not believable makes the whole row so.
    """
    if not others:
        return row
    found = {name: _entry(other, load) for name, (other, load) in others.items()}
    details: MeasurementDetails = {**row.details, "colocated": found}
    seen = [
        f"{name}: {flag}" + (f" ({what})" if (what := other.details["findings"].get(flag)) else "")
        for name, (other, _) in others.items()
        for flag in other.flags
        if flag in INVALIDATES
    ]
    if not seen:
        return replace(row, details=details)
    details["findings"] = {**row.details["findings"], "colocated_invalid": "; ".join(seen)}
    return replace(row, flags=(*row.flags, "colocated_invalid"), details=details)


def _entry(row: MeasurementRow, load: ColocatedLoad) -> ColocatedDetails:
    """What the row of a co-located model says in that of the measured one."""
    found: ColocatedDetails = {
        "load": load.model_dump(mode="json"), "requests": row.requests, "errors": row.errors,
        "throughput": row.throughput, "latency_mean_ms": row.latency_mean_ms,
        "latency_ms": dict(row.latency_ms), "latency_order_ms": dict(row.latency_order_ms),
        "client_cpu_percent": row.client_cpu_percent, "messages": row.details["errors"],
        "outputs_checked": row.details["outputs_checked"], "flags": list(row.flags),
        "findings": row.details["findings"], "samples": row.samples,
    }  # fmt: skip
    if (ceiling := row.details.get("ceiling")) is not None:
        found["ceiling"] = ceiling
    if processes := row.details.get("client_processes"):
        found["client_processes"] = processes
    if counts := row.details.get("latency_counts"):
        found["latency_counts"] = counts
    return found
