"""Rounds are added by width alone, and the interval of what is then added holds the truth."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.rows import measurement

from harness.analysis.intervals import log_t_interval
from harness.analysis.metrics import ADDED
from harness.analysis.stopping import correlated, width
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


def test_one_round_has_no_width_yet_and_wants_more() -> None:
    one = summarize([row("a/b1/c1", 0, 100.0, 1.0, None)])[0]
    assert width(one, TARGETS).worst == math.inf


def test_what_cannot_narrow_asks_for_nothing() -> None:
    rows = [row("a/b1/c1", i, 100.0, math.inf, None) for i in range(3)]
    assert width(summarize(rows)[0], TARGETS).worst == 0.0


def test_the_schedules_throughput_holds_nothing_up_in_an_open_loop() -> None:
    """Arrivals vary by the schedule; only latencies are the server's."""
    rows = [
        measurement(point="a/b1/r50", round=i, concurrency=None, request_rate=50.0,
                    throughput=50.0 + i, latency_ms={"p50": 5.0, "p99": 9.0})
        for i in range(3)
    ]  # fmt: skip
    found = width(summarize(rows)[0], TARGETS)
    assert found.worst == 0.0
    assert found.half_widths["throughput"] is not None


@pytest.mark.parametrize("deviation", [0.01, 0.03])
def test_stopping_by_width_leaves_the_interval_true(deviation: float) -> None:
    """Five rounds and more until ±1 %, at most 80; the truth is 1."""
    rng = np.random.default_rng(7)
    held, runs = 0, 1500
    for _ in range(runs):
        values = np.exp(rng.normal(0, deviation, 80)).tolist()
        found = log_t_interval(values[:5])
        for count in range(5, 81):
            found = log_t_interval(values[:count], first=5)
            if found.half_width <= TARGETS["throughput"]:
                break
        held += found.low <= 1 <= found.high
    assert 0.935 <= held / runs <= 0.965


def test_the_rounds_that_were_added_do_not_say_how_much_the_point_scatters() -> None:
    values = [100.0, 101.0, 99.0, 100.0, 100.0, 100.0]
    rows = [row("a/b1/c1", i, v, 1.0, None) for i, v in enumerate(values)]
    added = [replace(r, details={"stage": ADDED}) for r in rows[3:]]
    found = summarize([*rows[:3], *added])[0].throughput
    by_hand = log_t_interval(values[:3]).half_width / math.sqrt(2)
    assert found.half_width == pytest.approx(by_hand)
    assert found.value == pytest.approx(stats.gmean(values))


def test_neighbouring_rounds_that_are_alike_are_found() -> None:
    def rounds(values: list[float]) -> SummaryRow:
        return summarize([row("a/b1/c1", i, v, 1.0, None) for i, v in enumerate(values)])[0]

    drift = [100.0 + i for i in range(10)]
    assert correlated(rounds(drift)) == ("throughput",)
    assert correlated(rounds(drift[:5])) == ()  # too few to show it
    assert correlated(rounds([100.0, 104.0] * 5)) == ()  # unlike neighbours narrow nothing
    rng = np.random.default_rng(0)
    alarms = [correlated(rounds(list(100 + rng.normal(0, 2, 10)))) for _ in range(100)]
    assert sum(map(bool, alarms)) <= 6
