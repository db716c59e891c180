"""What the co-located models did in a point's window: cut out of their samples, judged, and kept.

Their numbers are made as the measured model's are (`measure/reduce.py`), over the same window: all
processes of a machine share the monotonic clock.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.measure.reduce import Reduced, reduce
from harness.measure.steady import window_steadiness
from harness.measure.validity import (
    INVALIDATES,
    Finding,
    check_client,
    check_little,
    check_schedule,
    check_steady,
)
from harness.results.details import ColocatedDetails, MeasurementDetails
from harness.results.rows import MeasurementRow
from harness.results.samples import Samples, write_samples
from harness.scenario.spec.scenario import ColocatedModel


def with_colocated(
    row: MeasurementRow, others: Sequence[ColocatedModel], answers: Mapping[str, Mapping[str, Any]],
    raw: Mapping[str, Path], run: Path,
) -> MeasurementRow:  # fmt: skip
    """The row with `details["colocated"]`: what each co-located model did in its window.

    `answers` are the workers' by name, `raw` the .npz files of their samples, which are replaced by
    Parquet files beside the row's own in the run directory `run`. A model that is not believable
    makes the whole row so.
    """
    found: dict[str, ColocatedDetails] = {}
    for other in others:
        samples = Samples.load(raw[other.name])
        raw[other.name].unlink()
        path = row.samples.removesuffix(".parquet") + f"--colocated-{other.name}.parquet"
        metadata = {"point": row.point, "round": str(row.round), "colocated": other.name}
        write_samples(run / path, samples, metadata)
        found[other.name] = {**entry(row, other, samples, answers[other.name]), "samples": path}
    details: MeasurementDetails = {**row.details, "colocated": found}
    seen = [
        f"{name}: {flag}" + (f" ({what})" if (what := facts["findings"].get(flag)) else "")
        for name, facts in found.items()
        for flag in facts["flags"]
        if flag in INVALIDATES
    ]
    if not seen:
        return replace(row, details=details)
    findings = {**row.details.get("findings", {}), "colocated_invalid": "; ".join(seen)}
    flags = (*row.flags, "colocated_invalid")
    return replace(row, flags=flags, details={**details, "findings": findings})


def entry(
    row: MeasurementRow, other: ColocatedModel, samples: Samples, answer: Mapping[str, Any]
) -> ColocatedDetails:
    """What one model did in the row's window, with the flags that its rules raise."""
    begin, end, load = row.window_begin_ns, row.window_end_ns, other.load
    open_loop = load.concurrency is None
    reduced = reduce(samples, begin, end, load.batch_size, open_loop)
    busy = None if open_loop else float(answer["cpu_percent"])
    rate = reduced.requests / (end - begin) * 1e9
    shaped = row.concurrency is None and row.request_rate is None  # the load moves on purpose
    findings = [
        *(Finding("wrong_outputs", text) for text in answer["outputs_wrong"]),
        *_counting(reduced),
        *check_little(samples, begin, end, load.concurrency),
        *(() if shaped else check_steady(window_steadiness(samples, begin, end))),
        *(check_schedule(samples, begin, end) if open_loop else ()),
        *check_client(busy, rate, None),
    ]
    return {
        "load": load.model_dump(mode="json"), "requests": reduced.requests,
        "errors": reduced.errors, "throughput": reduced.throughput,
        "latency_mean_ms": reduced.latency_mean_ms, "latency_ms": dict(reduced.latency_ms),
        "latency_order_ms": dict(reduced.latency_order_ms),
        "client_cpu_percent": answer["cpu_percent"], "messages": dict(answer["messages"]),
        "outputs_checked": answer["outputs_checked"],
        "flags": list(dict.fromkeys(f.flag for f in findings)),
        "findings": {f.flag: f.seen for f in findings if f.seen},
    }  # fmt: skip


def _counting(reduced: Reduced) -> Iterator[Finding]:
    if reduced.requests == reduced.errors:
        yield Finding("all_failed", f"{reduced.errors} of {reduced.requests} requests failed")
    elif reduced.errors:
        yield Finding("errors", f"{reduced.errors} of {reduced.requests} requests failed")
    if reduced.latency_ms["p99"] is None:
        yield Finding("few_requests", f"{reduced.requests} requests")
