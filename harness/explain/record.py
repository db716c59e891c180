"""One point for programs: its values over the rounds and in each, what was flagged, what failed."""

from __future__ import annotations

import json

from harness.analysis.capacity import summarize_capacity
from harness.analysis.intervals import Interval
from harness.analysis.metrics import of_rounds
from harness.analysis.point_detail import Explanation, RoundDetail
from harness.explain.terminal import explained
from harness.report.model.labels import flag_text
from harness.report.outputs.csv import capacity_record
from harness.results.rows import MeasurementRow
from harness.results.store import RunData
from harness.scenario.metrics import METRICS
from harness.system.files import jsonable

SCHEMA = "harness-explain/1"
"""A key may come without a new one; one that goes, or changes its meaning, makes one."""


def render(data: RunData, point: str) -> str:
    """The point as JSON; figures that JSON has not are strings (`inf`), null is not known.

    A point whose capacity was searched is a row of `capacity.csv`. Raises UsageError that names the
    nearest point.
    """
    searched = {c.point: c for c in summarize_capacity(data.capacities, data.measurements)}
    found = (
        {"schema": SCHEMA, **capacity_record(searched[point])} if point in searched
        else _measured(explained(data, point))
    )  # fmt: skip
    return json.dumps(jsonable(found), indent=1, ensure_ascii=False)


def _measured(found: Explanation) -> dict[str, object]:
    row = found.summary
    return {
        "schema": SCHEMA, "point": row.point, "backend": row.backend, "config": row.config,
        "batch_size": row.batch_size, "sizes": row.sizes, "concurrency": row.concurrency,
        "request_rate": row.request_rate, "valid": row.valid, "rounds_that_count": row.rounds,
        "requests": row.requests, "errors": row.errors,
        "metrics": {name: _ends(row.value(name)) for name in METRICS},
        "server_us": row.server_us, "few_episodes": found.few_episodes,
        "flags": {flag: flag_text(flag) for flag in row.every_flag},
        "rounds": [_round(r, row.measurements) for r in found.rounds],
        "failures": [f.to_event() for f in row.failures],
    }  # fmt: skip


def _ends(value: Interval | None) -> dict[str, object] | None:
    if value is None:
        return None
    return {"value": value.value, "low": value.low, "high": value.high}


def _round(found: RoundDetail, counted: tuple[MeasurementRow, ...]) -> dict[str, object]:
    row, steady, slip = found.row, found.steady, found.slip
    return {
        "round": row.round, "counts": row in counted, "started": row.started,
        "window_s": (row.window_end_ns - row.window_begin_ns) / 1e9,
        "warmup_requests": row.warmup_requests, "requests": row.requests, "errors": row.errors,
        "metrics": {name: of_rounds([row], name)[0] for name in METRICS},
        "shift_between_halves": steady and steady.shift, "mser5_cut_s": found.cut_s,
        "late_p99_ms": slip and slip.p99_ms, "flags": row.flags,
        "findings": row.details.get("findings") or {},
        "samples": row.samples, "samples_read": found.timeline is not None,
    }  # fmt: skip
