"""Differences between the points of one run: within rounds, with variances that are shared."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import special, stats

from harness.analysis.blocks import Blocks, _inverse_trigamma, _medians, drawn
from harness.analysis.intervals import log_t_interval


def run(seed: int, points: int, rounds: int, *, spread: float = 1.0, effect: float = 0.0):
    """Points of the same value, 1 % of noise in the middle; a round's effect in units of that."""
    rng = np.random.default_rng(seed)
    scatter = 0.01 * np.exp(rng.normal(0, math.log(spread), points))
    logs = rng.normal(0, 1, (points, rounds)) * scatter[:, None]
    logs += rng.normal(0, 0.01 * effect, rounds)
    return {f"p{i}": {r: math.exp(v) for r, v in enumerate(row)} for i, row in enumerate(logs)}


def test_equal_points_are_told_apart_in_one_of_twenty_pairs() -> None:
    covered = pairs = 0
    for seed in range(60):
        blocks = Blocks(run(seed, 24, 3, spread=1.6, effect=1.0))
        for i in range(0, 24, 2):
            found = blocks.ratio(f"p{i}", f"p{i + 1}")
            covered += found.low <= 1 <= found.high
            pairs += 1
    assert 0.92 <= covered / pairs <= 0.975


@pytest.mark.parametrize("sign", [1, -1])
def test_many_ratios_are_each_ones_own(sign: int) -> None:
    """Also to points without a value, with one round, or without some of the rounds."""
    values = run(3, 8, 4, spread=1.6)
    values["p1"] = {}
    values["p2"] = {1: values["p2"][1]}
    del values["p3"][0]
    blocks, others = Blocks(values), [f"p{i}" for i in range(9)]
    found = blocks.ratios("p0", others, 0.95, sign)
    assert found == [blocks.ratios("p0", [other], 0.95, sign)[0] for other in others]
    assert [r is None for r in found] == [i in (1, 8) for i in range(9)]
    assert found[2].value > 0 and found[2].low is None
    assert all(r.low < r.value < r.high for r in found[3:8])
    back = blocks.ratio("p4", "p0") if sign > 0 else blocks.ratio("p0", "p4")
    assert found[4].value == pytest.approx(1 / back.value)
    assert (found[4].low, found[4].high) == pytest.approx((1 / back.high, 1 / back.low))
    assert blocks.ratios("p0", []) == [] and blocks.ratios("p1", ["p0"]) == [None]


def test_a_rounds_luck_is_nobodys_difference() -> None:
    """Everything doubles in the second round: the ratio and its interval stay as they were."""
    quiet = run(1, 8, 3)
    loud = {p: {r: v * (2 if r == 1 else 1) for r, v in row.items()} for p, row in quiet.items()}
    before, after = Blocks(quiet).ratio("p0", "p1"), Blocks(loud).ratio("p0", "p1")
    assert (after.value, after.low, after.high) == pytest.approx(
        (before.value, before.low, before.high), rel=1e-9
    )
    logs = [np.log([*loud[p].values()]) for p in ("p0", "p1")]
    welch = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    assert after.half_width < (welch.high - welch.low) / 2 / 4


def test_three_rounds_of_many_points_know_more_than_three_rounds() -> None:
    widths, own = [], []
    for seed in range(40):
        values = run(seed, 24, 3)
        widths.append(Blocks(values).ratio("p0", "p1").half_width)
        pairs = [values["p0"][r] / values["p1"][r] for r in range(3)]
        own.append(log_t_interval(pairs).half_width)
    assert np.mean(widths) < 0.65 * np.mean(own)


def test_a_point_that_scatters_more_keeps_a_wider_interval() -> None:
    values = run(3, 12, 5)
    values["wild"] = dict(enumerate([1.0, 1.3, 0.8, 1.2, 0.9]))
    blocks = Blocks(values)
    assert blocks.ratio("wild", "p0").half_width > 3 * blocks.ratio("p1", "p0").half_width


def test_value_and_interval_by_hand_without_spread() -> None:
    """Two-way fit of a balanced table: row means; the variances of the rows are equal here."""
    values = {
        "a": {0: math.exp(0.1), 1: math.exp(0.3)},
        "b": {0: math.exp(0.2), 1: math.exp(0.0)},
        "c": {0: math.exp(-0.1), 1: math.exp(0.1)},
        "d": {0: math.exp(0.5), 1: math.exp(0.3)},
    }
    found = Blocks(values).ratio("a", "b")
    assert math.log(found.value) == pytest.approx(0.1)
    freedom = 3 / 4  # a point's one degree, less its share of the round's effect
    variance = 2 * 0.1**2 / freedom
    # none scatters unlike the others, so each has the mean, as surely as four points allow
    log = math.log(variance) - special.digamma(freedom / 2) + math.log(freedom / 2)
    uncertain = special.polygamma(1, 4 + freedom / 2)
    # a pair: half of it from each of two equal variances, and the second order of the log
    freedom_of_pair = 2 * _inverse_trigamma(uncertain / 2)
    log += math.log(2 / 2) + uncertain / 4
    log += special.digamma(freedom_of_pair / 2) - math.log(freedom_of_pair / 2)
    t = stats.t.ppf(0.975, freedom_of_pair)
    assert found.half_width == pytest.approx(t * math.exp(log / 2))


def test_the_mirror_is_the_reciprocal() -> None:
    blocks = Blocks(run(5, 9, 4, effect=2.0))
    there, back = blocks.ratio("p1", "p7"), blocks.ratio("p7", "p1")
    assert (1 / there.value, 1 / there.high, 1 / there.low) == pytest.approx(
        (back.value, back.low, back.high)
    )


def test_a_missing_round_is_made_up_for_by_what_the_others_say_of_it() -> None:
    """One round was twice as fast; the point that missed it must not look half as fast."""
    values = run(6, 12, 4)
    for row in values.values():
        row[2] *= 2
    del values["p3"][2]
    found = Blocks(values).ratio("p3", "p4")
    assert found.value == pytest.approx(1, abs=0.03)
    assert found.rounds == 3
    naive = stats.gmean([*values["p3"].values()]) / stats.gmean([*values["p4"].values()])
    assert naive < 0.9


def test_an_interval_with_a_round_less_is_wider() -> None:
    wider = []
    for seed in range(30):
        values = run(seed, 24, 3)
        whole = Blocks(values).ratio("p3", "p4").half_width
        del values["p3"][2]
        wider.append(Blocks(values).ratio("p3", "p4").half_width / whole)
    assert np.exp(np.mean(np.log(wider))) == pytest.approx(
        math.sqrt((1 / 2 + 1 / 3) / (2 / 3)), 0.1
    )


def test_two_points_are_compared_by_their_own_pairs() -> None:
    values = {"a": {0: 2.0, 1: 4.4, 2: 3.0}, "b": {0: 1.0, 1: 2.0, 2: 1.6}}
    found = Blocks(values).ratio("a", "b")
    by_hand = log_t_interval([2.0, 2.2, 3.0 / 1.6])
    assert (found.low, found.high) == pytest.approx((by_hand.low, by_hand.high))


def test_one_round_has_a_value_and_no_interval() -> None:
    found = Blocks({"a": {0: 2.0}, "b": {0: 1.0}, "c": {0: 1.0}}).ratio("a", "b")
    assert (found.value, found.low, found.high) == (2.0, None, None)


def test_a_point_that_was_not_measured_has_no_ratio() -> None:
    assert Blocks({"a": {0: 1.0}, "b": {}}).ratio("a", "b") is None


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf])
def test_what_has_no_logarithm_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Blocks({"a": {0: bad}})


def test_rounds_that_are_all_equal_do_not_claim_certainty() -> None:
    values = run(8, 6, 3)
    values["stuck"] = dict.fromkeys(range(3), 1.0)
    found = Blocks(values).ratio("stuck", "p0")
    assert found.low < found.value < found.high


@pytest.mark.parametrize("x", [0.3, 1.0, 7.5, 200.0])
def test_the_inverse_of_trigamma(x: float) -> None:
    assert _inverse_trigamma(float(special.polygamma(1, x))) == pytest.approx(x)


def test_what_variances_were_drawn_from_is_found() -> None:
    """Logs of variances around −6 with a deviation of 1.2, each seen by two degrees of freedom."""
    rng = np.random.default_rng(0)
    true = rng.normal(-6, 1.2, 4000)
    seen = np.exp(true) * rng.chisquare(2, 4000) / 2
    log, uncertain = drawn(seen, np.full(4000, 2.0))
    noise = special.polygamma(1, 1.0)
    assert log.mean() == pytest.approx(-6, abs=0.1)
    assert uncertain == pytest.approx(1.2**2 * noise / (1.2**2 + noise), rel=0.1)
    assert np.mean((log - true) ** 2) == pytest.approx(uncertain[0], rel=0.1)


def test_a_quiet_point_is_hardly_lifted_by_noisy_ones() -> None:
    """Five rounds of points that scatter by 0.2 % to 10 %: the two quietest are hardly wider
    apart than their own rounds say. An inverse chi-square prior makes it 4.7 times as wide."""
    rng = np.random.default_rng(3)
    scatter = np.geomspace(0.002, 0.1, 24)
    widths, own = [], []
    for _ in range(60):
        logs = rng.normal(0, 1, (24, 5)) * scatter[:, None]
        values = {f"p{i}": dict(enumerate(np.exp(row))) for i, row in enumerate(logs)}
        widths.append(Blocks(values).ratio("p0", "p1").half_width)
        own.append(log_t_interval(np.exp(logs[0] - logs[1]).tolist()).half_width)
    assert np.median(widths) < 1.5 * np.median(own)


def test_a_noisy_point_does_not_shake_the_rounds_of_quiet_ones() -> None:
    """The effect of a round is what quiet points say of it."""
    values = run(4, 6, 4)
    before = Blocks(values).ratio("p0", "p1").half_width
    values["wild"] = dict(enumerate([1.0, 3.0, 0.5, 2.0]))
    assert Blocks(values).ratio("p0", "p1").half_width < 2 * before


def test_rounds_of_one_point_alone_say_nothing_of_a_difference() -> None:
    """Rounds 3 to 9 were measured for p0 alone, and were all 20 % slower."""
    values = run(7, 6, 3)
    before = Blocks(values).ratio("p0", "p1")
    values["p0"] |= dict.fromkeys(range(3, 10), 0.8 * values["p0"][0])
    after = Blocks(values).ratio("p0", "p1")
    assert (after.value, after.low, after.high, after.rounds) == pytest.approx(
        (before.value, before.low, before.high, 3)
    )


def test_points_that_share_no_round_are_not_told_apart() -> None:
    found = Blocks({"a": {0: 2.0, 1: 2.1}, "b": {2: 1.0, 3: 1.1}}).ratio("a", "b")
    assert found.value > 1.8
    assert (found.low, found.high) == (None, None)


@given(
    arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(1, 6)),
           elements=st.floats(-5, 5) | st.just(math.nan))
)  # fmt: skip
def test_the_median_of_each_column_is_numpys(table):
    table = table[:, (~np.isnan(table)).any(axis=0)]
    np.testing.assert_array_equal(_medians(table), np.nanmedian(table, axis=0))


@pytest.mark.parametrize("rounds", [1, 2, 3, 6])
def test_what_many_pairs_are_told_at_once_holds_each_ones_interval(rounds: int) -> None:
    rng = np.random.default_rng(rounds)
    values = run(rounds, 20, rounds, spread=2.0, effect=1.0)
    for point in list(values)[::3]:  # rounds that are missing, so that not all pairs share all
        values[point].pop(int(rng.integers(rounds)))
    blocks = Blocks(values)
    names = [*values, "unknown"]
    places = blocks.places(names)
    for point in names:
        gaps, halves = blocks.apart(int(blocks.places([point])[0]), places)
        for other, gap, half in zip(names, gaps, halves, strict=True):
            ratio = blocks.ratio(point, other)
            if ratio is None:
                assert math.isnan(gap)
                continue
            assert math.exp(gap) == pytest.approx(ratio.value)
            if ratio.low is None:
                assert math.isinf(half)
            else:
                assert gap - half <= math.log(ratio.low) + 1e-12
                assert half < 3 * ratio.half_width + 1e-6, "so wide that it tells nothing"
