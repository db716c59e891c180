import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.measure.quantiles import (
    FLOORS,
    QUANTILES,
    binomial_quantile,
    order_statistic_interval,
    order_statistic_intervals,
    percentile,
    percentiles,
)
from harness.results.rows import PERCENTILES

latencies = st.lists(st.integers(0, 10**12), max_size=60)
quantiles = st.fractions(Fraction(1, 10_000), 1, max_denominator=10_000)


def ns(values):
    return np.array(values, dtype=np.int64)


def by_definition(values, failures, q):
    """The smallest value with at least ceil(q n) of all n at or below it."""
    everything = [*values, *[math.inf] * failures]
    need = -(-q.numerator * len(everything) // q.denominator)
    return min(v for v in everything if sum(w <= v for w in everything) >= need)


@given(latencies, st.integers(0, 10), quantiles)
def test_percentile_is_the_nearest_rank(values, failures, q):
    if not values and not failures:
        values = [1]
    assert percentile(ns(sorted(values)), failures, q) == by_definition(values, failures, q)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_percentile_agrees_with_numpy_where_q_is_exact_in_binary(values):
    for q in (0.25, 0.5, 0.75, 1.0):
        assert percentile(ns(sorted(values)), 0, q) == np.quantile(
            ns(values), q, method="inverted_cdf"
        )


@given(latencies, st.integers(1, 9), quantiles)
def test_a_failure_never_makes_a_percentile_smaller(values, failures, q):
    more = percentile(ns(sorted(values)), failures + 1, q)
    assert more >= percentile(ns(sorted(values)), failures, q)


@pytest.mark.parametrize(("q", "n", "rank"), [(0.07, 100, 7), (0.55, 100, 55), (0.28, 25, 7)])
def test_a_decimal_quantile_has_no_rounding_error(q, n, rank):
    assert math.ceil(q * n) == rank + 1  # what plain floats would give
    assert percentile(ns(range(1, n + 1)), 0, q) == rank


@pytest.mark.parametrize("q", [0, -0.5, 1.0001])
def test_no_quantile_outside_zero_to_one(q):
    with pytest.raises(ValueError, match="no quantile"):
        percentile(ns([1, 2]), 0, q)


def test_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="of 0 requests"):
        percentile(ns([]), 0, 0.5)


def test_names_are_those_of_the_rows():
    assert tuple(QUANTILES) == tuple(FLOORS) == PERCENTILES


@pytest.mark.parametrize("name", PERCENTILES)
def test_floors_follow_from_their_definition(name):
    def too_likely(n):
        return stats.binom.cdf(1, n, 1 - float(QUANTILES[name])) > 0.01

    assert not too_likely(FLOORS[name])
    assert too_likely(FLOORS[name] - 1)


@pytest.mark.parametrize("name", PERCENTILES)
def test_percentiles_only_from_the_floor_on(name):
    def at(n):
        return percentiles(ns(range(1, n + 1)) * 10**6, np.zeros(n, bool))[name]

    assert at(FLOORS[name] - 1) is None
    assert at(FLOORS[name]) == math.ceil(QUANTILES[name] * FLOORS[name])


def test_percentiles_take_raw_order_and_count_failures_as_infinite():
    latency = ns(np.random.default_rng(1).permutation(np.arange(1, 1001))) * 10**6
    failed = latency > 940 * 10**6
    found = percentiles(latency, failed)
    assert found == {"p50": 500.0, "p90": 900.0, "p95": math.inf, "p99": math.inf, "p999": None}


def test_percentiles_when_everything_failed():
    found = percentiles(ns(range(700)), np.ones(700, bool))
    assert found == {**dict.fromkeys(("p50", "p90", "p95", "p99"), math.inf), "p999": None}


def test_percentiles_of_nothing():
    assert percentiles(ns([]), np.zeros(0, bool)) == dict.fromkeys(PERCENTILES)


def test_arrays_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match="shapes differ"):
        percentiles(ns([1, 2, 3]), np.zeros(2, bool))


@given(
    st.integers(1, 3000), st.sampled_from(list(QUANTILES.values())), st.sampled_from([0.9, 0.95])
)
def test_interval_ranks_have_exact_coverage_with_equal_tails(n, q, level):
    found = order_statistic_interval(ns(range(1, n + 1)), n, q, level)
    at_or_below = stats.binom(n, float(q))  # how many of n lie at or below the true quantile
    tail = (1 - level) / 2
    if found is None:
        assert at_or_below.pmf(0) > tail or at_or_below.pmf(n) > tail
        return
    low, high = map(int, found)
    assert at_or_below.cdf(high - 1) - at_or_below.cdf(low - 1) >= level - 1e-9
    assert at_or_below.cdf(low) >= tail - 1e-9  # the next rank up would leave too much below
    assert at_or_below.sf(high - 2) >= tail - 1e-9  # the next rank down too much above


@pytest.mark.parametrize("name", PERCENTILES)
def test_at_the_floor_there_is_an_interval(name):
    n = FLOORS[name]
    low, high = order_statistic_intervals(ns(range(1, n + 1)) * 10**6, np.zeros(n, bool))[name]
    assert low <= math.ceil(QUANTILES[name] * n) <= high


def test_interval_covers_the_true_quantile_as_often_as_it_says():
    random = np.random.default_rng(7)
    n, repeats = 200, 1000
    true = stats.expon.ppf(0.9)
    covered = 0
    for _ in range(repeats):
        sample = ns(np.sort(random.exponential(size=n)) * 1e9)
        low, high = order_statistic_interval(sample, n, QUANTILES["p90"])
        covered += low <= true * 1e9 < high
    assert 0.95 - 3 * math.sqrt(0.95 * 0.05 / repeats) < covered / repeats < 0.99


def test_interval_reaches_infinity_where_a_rank_falls_among_failures():
    latency = ns(range(1, 101)) * 10**6
    failed = latency > 91 * 10**6
    low, high = order_statistic_intervals(latency, failed)["p90"]
    assert 80 < low < 90
    assert high == math.inf


def test_no_interval_from_too_few_requests():
    assert order_statistic_interval(ns(range(5)), 5, 0.5) is None
    assert order_statistic_intervals(ns(range(10)), np.zeros(10, bool))["p50"] is None


@given(
    st.sampled_from([0.005, 0.025, 0.05, 0.95, 0.975, 0.995]), st.integers(1, 10**6),
    st.sampled_from([float(q) for q in QUANTILES.values()]),
)  # fmt: skip
def test_the_binomial_quantile_is_scipys(share, n, p):
    assert binomial_quantile(share, n, p) == int(stats.binom.ppf(share, n, p))
