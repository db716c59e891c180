"""p99 over rounds is that of all requests, its interval holds the truth, and it says where not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.analysis.tails import (
    episodes_over_rounds,
    next_window,
    percentile_over_rounds,
    share_beyond,
    window_for_p99,
)
from harness.measure.distribution import counts_of
from harness.measure.quantiles import percentiles
from harness.results.details import LatencyCounts

MS = 1e6


def rounds(*series: NDArray[np.float64]) -> tuple[list[float], list[LatencyCounts]]:
    """p99 in ms and the counts of latencies in ms."""
    values, counts = [], []
    for latency in series:
        ns, failed = (MS * latency).astype(np.int64), np.zeros(len(latency), bool)
        p99, found = percentiles(ns, failed)["p99"], counts_of(ns, failed)
        assert p99 is not None
        assert found is not None
        values.append(p99)
        counts.append(found)
    return values, counts


def queue(rng: np.random.Generator, load: float, size: int) -> NDArray[np.float64]:
    """Responses of M/D/1 with a service time of 1, from an empty queue, warmed up."""
    arrivals = np.cumsum(rng.exponential(1 / load, size + 500))
    n = np.arange(len(arrivals))
    return (np.maximum.accumulate(arrivals - n) + n + 1 - arrivals)[-size:]


@pytest.mark.parametrize(("load", "size", "truth"), [(0.5, 1250, 4.33), (0.8, 9000, 11.33)])
def test_the_interval_holds_the_truth(load: float, size: int, truth: float) -> None:
    rng, held = np.random.default_rng(1), 0
    for _ in range(60):
        found = percentile_over_rounds("p99", *rounds(*(queue(rng, load, size) for _ in range(5))))
        high = math.inf if found.high is None else found.high
        held += found.low is not None and found.low <= truth <= high
    assert held >= 53


def test_a_stall_in_some_rounds_is_in_the_value() -> None:
    """Two of five rounds have 50 of 1,000 requests at 200 ms: 2 % of all are that slow."""
    quiet, stalled = np.full(1000, 4.0), np.r_[np.full(950, 4.0), np.full(50, 200.0)]
    found = percentile_over_rounds("p99", *rounds(quiet, stalled, quiet, stalled, quiet))
    assert found.value == pytest.approx(200, rel=1e-3)  # the geometric mean is 19 ms


def test_rounds_that_agree_have_that_value() -> None:
    found = percentile_over_rounds("p99", *rounds(*[np.full(2000, 7.3)] * 3))
    assert (found.value, found.low, found.high) == pytest.approx((7.3, 7.3, 7.3))
    assert not found.at_least


def test_one_round_is_its_own_value_without_an_interval() -> None:
    values, counts = rounds(queue(np.random.default_rng(1), 0.5, 5000))
    found = percentile_over_rounds("p99", values, counts)
    assert (found.value, found.low, found.high) == (values[0], None, None)


def test_few_slow_stretches_are_a_lower_bound() -> None:
    rng = np.random.default_rng(1)
    found = percentile_over_rounds("p99", *rounds(*(queue(rng, 0.95, 2000) for _ in range(3))))
    assert found.at_least
    assert found.low is not None
    assert found.high is None
    assert found.half_width is None


def test_long_stretches_take_more_of_them_for_an_interval() -> None:
    """Of 16 to 40 stretches near a queue's limit the interval held the truth in half of all."""
    rng = np.random.default_rng(1)
    together = rounds(*(queue(rng, 0.95, 9000) for _ in range(5)))
    alone = rounds(*(rng.exponential(1, 700) for _ in range(5)))
    for _, counts in (together, alone):
        assert 16 <= (episodes_over_rounds("p99", counts) or 0) < 40
    assert percentile_over_rounds("p99", *together).at_least
    assert not percentile_over_rounds("p99", *alone).at_least


def test_failures_in_some_rounds_leave_no_interval() -> None:
    ns, failed = np.full(1000, 4_000_000), np.arange(1000) < 15
    broken, fine = counts_of(ns, failed), counts_of(ns, ~np.ones(1000, bool))
    assert broken is not None
    assert fine is not None
    found = percentile_over_rounds("p99", [math.inf, 4.0, 4.0], [broken, fine, fine])
    assert (found.value, found.low, found.high) == (4.0, None, None)
    assert math.isinf(percentile_over_rounds("p99", [math.inf] * 2, [broken] * 2).value)


def test_the_window_that_p99_needs() -> None:
    _, counts = rounds(*(np.random.default_rng(s).exponential(1, 1000) for s in range(2)))
    found = episodes_over_rounds("p99", counts)
    assert found == pytest.approx(20, abs=5)
    assert window_for_p99(counts, [10.0, 10.0], 2) == pytest.approx(10 * 40 / found)
    assert next_window(counts, [10.0, 10.0], 3, 60.0) == 15.0  # half as long again, at most
    assert next_window(counts, [10.0, 10.0], 3, 12.0) == 12.0
    assert next_window(counts, [10.0, 10.0], 9, 60.0) is None  # the rounds to come are enough
    assert next_window(counts, [10.0, 10.0], 2, 60.0) is None  # and here none is to come
    del counts[0]["episodes"]["p99"]  # type: ignore[attr-defined]
    assert window_for_p99(counts, [10.0, 10.0], 2) is None


def test_a_share_knows_how_much_more_it_takes() -> None:
    _, counts = rounds(*(np.random.default_rng(s).exponential(1, 1000) for s in range(3)))
    far, near = (share_beyond("p99", counts, ms) for ms in (20.0, 4.8))
    assert far.value == 0
    assert far.high < far.allowed
    assert near.high > near.allowed
    assert 1 < near.needed < math.inf
