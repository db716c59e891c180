"""Whether bounds hold: by the share of the requests beyond a latency limit, or by the interval."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.rows import measurement, point

from harness.analysis.constraints import Bound, _room, bounds_of, holds, judge, satisfies
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow, summarize
from harness.measure.distribution import counts_of
from harness.measure.quantiles import percentiles

ROW = point([90.0, 100.0, 110.0], latency_ms={"p50": 10.0})


@pytest.mark.parametrize(
    ("name", "bound", "answer"),
    [
        ("throughput", {"min": 50.0}, "yes"), ("throughput", {"min": 100.0}, "unknown"),
        ("throughput", {"min": 200.0}, "no"), ("throughput", {"max": 200.0}, "yes"),
        ("throughput", {"max": 50.0}, "no"), ("latency_p50_ms", {"max": 10.5}, "yes"),
        ("latency_p50_ms", {"max": 9.5}, "no"), ("latency_p99_ms", {"max": 1e9}, "unknown"),
        ("gpu_memory_mib", {"max": 1e9}, "unknown"), ("errors", {"max": 0.0}, "yes"),
        ("throughput", {"min": None, "max": None}, "yes"),
    ],
)  # fmt: skip
def test_one_bound(name: str, bound: Bound, answer: str) -> None:
    assert holds(ROW, name, bound) == answer


def test_of_several_the_worst_answer_counts() -> None:
    yes, unknown, no = ({"min": v} for v in (50.0, 100.0, 200.0))
    assert satisfies(ROW, {}) == "yes"
    assert satisfies(ROW, {"throughput": yes, "latency_p50_ms": {"max": 11.0}}) == "yes"
    assert satisfies(ROW, {"throughput": unknown, "latency_p50_ms": {"max": 11.0}}) == "unknown"
    assert satisfies(ROW, {"throughput": unknown, "latency_p50_ms": {"max": 1.0}}) == "no"
    assert satisfies(ROW, {"throughput": no, "latency_p99_ms": {"max": 1.0}}) == "no"


def test_what_a_scenario_wants_its_co_located_models_too() -> None:
    other = {"name": "det", "constraints": {"latency_p50_ms": {"max": 3.0}, "errors": None}}
    scenario = {
        "constraints": {"throughput": {"min": 9.0}, "errors": None},
        "backends": [{"name": "t", "colocated": [other]}, {"name": "u"}],
    }
    assert bounds_of(scenario) == {
        "throughput": {"min": 9.0}, "colocated/det/present": {"min": 1},
        "colocated/det/latency_p50_ms": {"max": 3.0},
    }  # fmt: skip
    assert bounds_of({}) == {}


MS = 1e6
P99 = "latency_p99_ms"


def counted(*rounds: NDArray[np.float64], lost: int = 0, **changes: Any) -> SummaryRow:
    """A point with these latencies in ms, a round each; `lost` of each round's requests failed."""
    rows = []
    for n, latency in enumerate(rounds):
        ns, failed = (latency * MS).astype(np.int64), np.arange(len(latency)) < lost
        details = {"latency_counts": counts_of(ns, failed), "findings": {}, "errors": {}}
        values = percentiles(ns, failed)
        rows.append(measurement(round=n, latency_ms=values, details=details, **changes))
    (row,) = summarize(rows)
    return row


def spread(seed: int, size: int = 1000) -> NDArray[np.float64]:
    """Independent latencies whose p99 is 4.6 ms."""
    return np.random.default_rng(seed).exponential(1.0, size)


def test_of_3000_requests_none_beyond_the_limit_is_enough() -> None:
    """The rounds differ so much that the interval of p99 says nothing."""
    row = counted(*(f * np.minimum(spread(s), 12) for s, f in enumerate((0.2, 1.0, 4.0))))
    p99 = row.value(P99)
    assert p99 is not None
    assert p99.high is not None
    assert p99.high > 50
    assert holds(row, P99, {"max": 50.0}) == "yes"


def test_so_it_is_where_p99_itself_is_not_known() -> None:
    row = counted(*(np.full(200, 3.0) for _ in range(3)))
    assert row.value(P99) is None
    assert holds(row, P99, {"max": 50.0}) == "yes"  # none of 600 beyond: at most 0.6 % are
    few = judge(counted(*(np.full(100, 3.0) for _ in range(3))), P99, {"max": 50.0})
    assert few.holds == "unknown"
    assert few.needs == "measurement.window: 3s"  # of 2 s, for 367 requests instead of 300


def test_a_failed_request_is_not_within_the_limit() -> None:
    assert holds(counted(spread(1), spread(2), lost=50), P99, {"max": 1e6}) == "no"
    assert holds(counted(spread(1), spread(2), lost=0), P99, {"max": 1e6}) == "yes"


def test_one_round_alone_shows_that_a_limit_is_broken_not_that_it_holds() -> None:
    alone = counted(spread(1))
    assert judge(alone, P99, {"max": 50.0}).needs == "measurement.rounds: 2"
    assert holds(alone, P99, {"max": 50.0}) == "unknown"
    assert holds(alone, P99, {"max": 50.0, "one_round": True}) == "yes"
    assert holds(alone, P99, {"max": 1.0}) == "no"
    assert holds(point([100.0]), "throughput", {"min": 50.0}) == "unknown"
    assert holds(point([100.0]), "throughput", {"min": 50.0, "one_round": True}) == "yes"
    assert holds(point([100.0], host_memory_mib=5.0), "host_memory_mib", {"max": 50.0}) == "yes"


def test_rounds_that_differ_count_for_less() -> None:
    """0.5 % beyond the limit, spread evenly or all in one round."""
    slow = [np.r_[np.full(2985, 1.0), np.full(15, 60.0)] for _ in range(3)]
    even = counted(*(np.random.default_rng(n).permutation(s) for n, s in enumerate(slow)))
    one = np.random.default_rng(0).permutation(np.r_[np.full(2955, 1.0), np.full(45, 60.0)])
    uneven = counted(one, np.full(3000, 1.0), np.full(3000, 1.0))
    assert [holds(r, P99, {"max": 50.0}) for r in (even, uneven)] == ["yes", "unknown"]


def test_value_and_margin_say_how_far_away_the_bound_is() -> None:
    found = judge(ROW, "throughput", {"min": 50.0})
    assert (found.holds, found.needs) == ("yes", "")
    assert found.value == pytest.approx(99.67, abs=0.01)
    assert found.margin == pytest.approx(0.993, abs=0.001)
    assert judge(ROW, "latency_p50_ms", {"max": 8.0}).margin == pytest.approx(-0.25)
    close = judge(ROW, "throughput", {"min": 90.0})
    assert close.holds == "unknown"
    assert close.needs.startswith("measurement.rounds: ")


def test_a_limit_that_is_just_broken_is_seldom_called_held() -> None:
    """In 150 runs of three rounds: requests one by one, and 20 slow ones in a row."""
    for together in (1, 20):
        rng, wrong = np.random.default_rng(together), 0
        for _ in range(150):
            rounds = []
            for _ in range(3):
                slow = np.repeat(rng.random(2000 // together) < 0.0102, together)
                rounds.append(np.where(slow, rng.uniform(51, 90, 2000), rng.uniform(1, 2, 2000)))
            wrong += holds(counted(*rounds), P99, {"max": 50.0}) == "yes"
        assert wrong <= 0.06 * 150


@pytest.mark.parametrize("limit", [-1e30, -0.5])
def test_no_number_of_rounds_is_named_for_a_bound_beyond_zero(limit: float) -> None:
    """As a damaged manifest has it: there is no ratio to take the logarithm of."""
    assert _room(Interval(55.9, 55.3, 56.5, 3), limit) == math.inf
