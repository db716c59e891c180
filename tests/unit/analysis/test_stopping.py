"""Rounds are added by width alone."""

import math

import pytest
from support.rows import measurement

from harness.analysis.stopping import widest_first, width
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import MeasurementRow

TARGETS = {"throughput": 0.01, "p50": 0.01, "p99": 0.05}


def row(
    point: str, round_: int, throughput: float, p50: float, p99: float | None
) -> MeasurementRow:
    return measurement(
        point=point, round=round_, backend=point.partition("/")[0], throughput=throughput,
        latency_mean_ms=p50, latency_ms={"p50": p50, "p99": p99},
    )  # fmt: skip


def summary(point: str, spread: float, p99: float | None = None) -> SummaryRow:
    values = [100.0, 100.0 * (1 + spread), 100.0 * (1 - spread)]
    return summarize([row(point, i, v, v / 10, p99) for i, v in enumerate(values)])[0]


def test_the_worst_metric_counts_relative_to_its_target() -> None:
    found = width(summary("a/b1/c1", 0.01, 5.0), {"throughput": 0.01, "p50": 0.02, "p99": 0.05})
    assert found.metric == "throughput"
    assert found.worst == pytest.approx(found.half_widths["throughput"] / 0.01)
    assert found.half_widths["p99"] == 0.0


def test_widest_first_and_the_narrow_ones_not_at_all() -> None:
    rows = [summary("a/b1/c1", 0.02), summary("b/b1/c1", 0.0001), summary("c/b1/c1", 0.2)]
    assert [w.point for w in widest_first(rows, TARGETS)] == ["c/b1/c1", "a/b1/c1"]


def test_one_round_has_no_width_yet_and_wants_more() -> None:
    one = summarize([row("a/b1/c1", 0, 100.0, 1.0, None)])[0]
    assert width(one, TARGETS).worst == math.inf


def test_what_cannot_narrow_asks_for_nothing() -> None:
    rows = [row("a/b1/c1", i, 100.0, math.inf, None) for i in range(3)]
    assert width(summarize(rows)[0], TARGETS).worst == 0.0
