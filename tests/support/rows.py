"""Rows for tests, made of what a test is about; the rest is the least that a row must have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import PERCENTILES, MeasurementRow
from harness.scenario.points import Point


def measurement(**changes: Any) -> MeasurementRow:
    """One round of `fake` at batch 1 and concurrency 1: 100 inferences a second of 10 ms each."""
    values: dict[str, Any] = {
        "round": 0, "backend": "fake", "config": "default", "batch_size": 1, "concurrency": 1,
        "request_rate": None, "started": "", "window_begin_ns": 0, "window_end_ns": 10**9,
        "requests": 100, "errors": 0, "throughput": 100.0, "latency_mean_ms": 10.0,
        "latency_ms": dict.fromkeys(PERCENTILES) | {"p50": 10.0}, "latency_order_ms": {}, **changes,
    }  # fmt: skip
    where = ("backend", "config", "batch_size", "concurrency", "request_rate")
    shape = "ramp" if values["concurrency"] is None and values["request_rate"] is None else None
    point = Point(*(values[key] for key in where), shape=shape)
    return MeasurementRow(**{"point": point.id, **values})


def point(throughputs: Sequence[float] = (100.0,), **changes: Any) -> SummaryRow:
    """A point with a round a throughput; `changes` are those of each of its rounds."""
    (row,) = summarize(
        measurement(**{"round": n, "throughput": value, **changes})
        for n, value in enumerate(throughputs)
    )
    return row


def with_metrics(row: SummaryRow, **values: float | None) -> SummaryRow:
    """The point with other values of metrics, without intervals."""
    known = {name: None if value is None else Interval(value) for name, value in values.items()}
    return replace(row, metrics={**row.metrics, **known})
