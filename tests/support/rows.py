"""Rows for tests: everything a row must have, changed where the test needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import CapacityRow, MeasurementRow
from harness.scenario.metrics import METRICS
from harness.scenario.points import Point


def measurement(**changes: Any) -> MeasurementRow:
    """A good measurement of `a/b1/c1` in the first round: 250 inferences a second in 4 ms."""
    fields: dict[str, Any] = {
        "point": "a/b1/c1", "round": 0, "backend": "a", "config": "default", "batch_size": 1,
        "concurrency": 1, "request_rate": None, "started": "2026-01-02T03:04:05+00:00",
        "window_begin_ns": 0, "window_end_ns": 2_000_000_000, "requests": 500, "errors": 0,
        "throughput": 250.0, "latency_mean_ms": 4.0,
        "latency_ms": {"p50": 3.996, "p90": 4.2, "p95": 4.3, "p99": 4.5, "p999": None},
        "latency_order_ms": {},
    }  # fmt: skip
    return MeasurementRow(**{**fields, **changes})


def capacity(**changes: Any) -> CapacityRow:
    """A search that found 80 requests a second within a p99 of 50 ms."""
    fields: dict[str, Any] = {
        "point": "a/b1/find_capacity", "round": 0, "backend": "a", "config": "default",
        "batch_size": 1, "percentile": "p99", "target_ms": 50.0, "rate": 80.0, "goodput": 79.0,
        "low": 80.0, "high": 84.0, "knee_rate": None, "steps": 7, "limit": "target",
    }  # fmt: skip
    return CapacityRow(**{**fields, **changes})


def point(throughputs: Sequence[float] = (250.0,), **changes: Any) -> SummaryRow:
    """A point with a round a throughput; `changes` are those of each of its rounds.

    Unless it is given, its name is made of backend, config, batch size and load.
    """
    rows = [measurement(**{"throughput": t, "round": n, **changes})
            for n, t in enumerate(throughputs)]  # fmt: skip
    r = rows[0]
    place = Point(r.backend, r.config, r.batch_size, r.concurrency, r.request_rate or 0.0)
    name = changes.get("point", place.id)
    (row,) = summarize(replace(row, point=name) for row in rows)
    return row


def with_metrics(row: SummaryRow, **values: float | None) -> SummaryRow:
    """The point with other values of metrics, without intervals."""
    known = {name: None if value is None else Interval(value) for name, value in values.items()}
    return replace(row, metrics={**{name: row.metrics[name] for name in METRICS}, **known})
