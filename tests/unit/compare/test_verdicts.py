"""The verdict between two things: blocks, looks, margins, and its error rates."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from harness.compare.verdicts import LOOKS, Verdict, holm, judge
from harness.scenario.metrics import PRIMARY

P50, THROUGHPUT = PRIMARY["p50"], PRIMARY["throughput"]


def blocks(shift: float, deviation: float, count: int, seed: int = 0) -> list[tuple[float, float]]:
    """A is 1; the log of B has this mean and standard deviation exactly."""
    noise = np.random.default_rng(seed).normal(0, 1, count)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    return [(1.0, math.exp(shift + deviation * z)) for z in noise]


def one(shift: float, deviation: float, count: int, metric=P50, points: int = 1):
    (found,) = judge({metric.key: blocks(shift, deviation, count)}, [metric], points)
    return found


def test_slower_is_a_regression_and_faster_an_improvement() -> None:
    assert one(0.05, 0.005, 4).verdict is Verdict.REGRESSION
    assert one(-0.05, 0.005, 4).verdict is Verdict.IMPROVEMENT


def test_more_throughput_is_no_regression() -> None:
    assert one(0.05, 0.005, 4, THROUGHPUT).verdict is Verdict.IMPROVEMENT
    assert one(-0.05, 0.005, 4, THROUGHPUT).verdict is Verdict.REGRESSION
    assert one(-0.05, 0.005, 4, THROUGHPUT).shift == pytest.approx(0.05)


def test_a_change_within_the_margin_is_no_regression_however_sure() -> None:
    found = one(math.log(1.019), 0.0005, 9)
    assert found.p < 1e-6
    assert found.verdict is Verdict.EQUIVALENT
    assert one(math.log(1.021), 0.0005, 9).verdict is Verdict.REGRESSION


def test_p_and_interval_are_the_paired_ts() -> None:
    found = one(0.03, 0.02, 6)
    t = 0.03 / (0.02 / math.sqrt(6))
    assert found.p == pytest.approx(2 * stats.t.sf(t, 5))
    half = stats.t.ppf(0.975, 5) * 0.02 / math.sqrt(6)
    assert (found.low, found.high) == pytest.approx((0.03 - half, 0.03 + half))


def test_equivalent_needs_the_whole_interval_inside() -> None:
    limit = math.log1p(0.02)
    inside = limit / (stats.t.ppf(0.975, 8) / 3)
    assert one(0.0, inside * 0.999, 9).verdict is Verdict.EQUIVALENT
    assert one(0.0, inside * 1.001, 9).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("count", [1, 2, 3])
def test_before_the_first_look_nothing_is_said(count: int) -> None:
    pairs = [(1.0, 2.0 + i / 1000) for i in range(count)]
    (found,) = judge({"p50": pairs}, [P50])
    assert found.verdict is Verdict.INCONCLUSIVE


def test_many_points_share_the_level() -> None:
    (alone,) = judge({"p50": blocks(0.05, 0.025, 6)}, [P50])
    assert 0.0125 / 50 < alone.p < 0.0125
    assert alone.verdict is Verdict.REGRESSION
    assert one(0.05, 0.025, 6, points=50).verdict is Verdict.INCONCLUSIVE


def test_holm_by_hand() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )


def test_the_blocks_still_needed_are_a_look_to_come() -> None:
    undecided = one(0.05, 0.05, 6)
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert undecided.needed in LOOKS
    assert undecided.needed > 6
    assert one(0.05, 0.05, undecided.needed).verdict is Verdict.REGRESSION
    assert one(0.02, 0.3, 19).needed is None


def test_one_block_says_nothing_of_how_many_it_takes_but_the_first_look() -> None:
    (found,) = judge({"p50": [(1.0, 1.1)]}, [P50])
    assert found.needed == LOOKS[0]


def test_blocks_without_any_scatter_decide() -> None:
    assert one(0.0, 0.0, 4).verdict is Verdict.EQUIVALENT
    assert one(0.1, 0.0, 4).verdict is Verdict.REGRESSION


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_a_value_without_a_logarithm_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="p50: not all values are positive and finite"):
        judge({"p50": [(1.0, bad)] * 4}, [P50])


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge({"p50": []}, [P50, THROUGHPUT]) == ()


def alarms(deviation: float, shift: float, runs: int) -> tuple[float, float]:
    """Share of runs that end in a regression or improvement; mean blocks until the end."""
    rng = np.random.default_rng(7)
    raised, used = 0, 0
    for _ in range(runs):
        logs = rng.normal(0, deviation / math.sqrt(2), (19, 2))
        logs[:, 1] += shift
        for count in LOOKS:
            (found,) = judge({"p50": [tuple(row) for row in np.exp(logs[:count])]}, [P50])
            if found.verdict is not Verdict.INCONCLUSIVE:
                break
        raised += found.verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT)
        used += count
    return raised / runs, used / runs


@pytest.mark.parametrize("deviation", [0.007, 0.014, 0.028, 0.042])
def test_false_alarms_over_all_looks_stay_below_five_percent(deviation: float) -> None:
    assert alarms(deviation, 0.0, 400)[0] <= 0.05


def test_a_five_percent_slowdown_is_found() -> None:
    share, used = alarms(0.014, 0.05, 200)
    assert share == 1.0
    assert used < 6
    assert alarms(0.042, 0.05, 200)[0] >= 0.85


def drifting(rng: np.random.Generator, slower: float) -> dict[str, list[tuple[float, float]]]:
    """Blocks AB, BA, … of values that follow each other: AR(1), and 20 % of drift over the run."""
    places = 2 * LOOKS[-1]
    noise, last = np.empty((3, places)), np.zeros(3)
    for at in range(places):
        last = 0.6 * last + rng.normal(0, 0.02, 3)
        noise[:, at] = last + 0.2 * at / places
    found = {}
    for key, logs in zip(("throughput", "p50", "p99"), noise, strict=True):
        sign = -1 if key == "throughput" else 1
        first, second = np.exp(sign * logs[0::2]), np.exp(sign * logs[1::2])
        even = np.arange(LOOKS[-1]) % 2 == 0
        a, b = np.where(even, first, second), np.where(even, second, first)
        found[key] = list(zip(a, b * (1 + slower) ** sign, strict=True))
    return found


def said(measured: dict[str, list[tuple[float, float]]]) -> Verdict:
    for blocks in LOOKS:
        pairs = {key: values[:blocks] for key, values in measured.items()}
        verdicts = {j.verdict for j in judge(pairs, PRIMARY.values())}
        for verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
            if verdict in verdicts:
                return verdict
        if verdicts == {Verdict.EQUIVALENT}:
            return Verdict.EQUIVALENT
    return Verdict.INCONCLUSIVE


def test_noise_that_follows_itself_and_a_drift_make_no_more_false_alarms() -> None:
    """Beside it the naive rule: five measurements of each, one side after the other, and 5 %."""
    alarms, found, naive = 0, 0, 0
    for seed in range(150):
        measured = drifting(np.random.default_rng(seed), 0.0)
        alarms += said(measured) in (Verdict.REGRESSION, Verdict.IMPROVEMENT)
        in_order = np.array(measured["p50"])[:, 0]
        naive += abs(np.log(np.median(in_order[5:10]) / np.median(in_order[:5]))) > np.log1p(0.05)
    for seed in range(40):
        found += said(drifting(np.random.default_rng(1000 + seed), 0.05)) is Verdict.REGRESSION
    assert alarms / 150 <= 0.05
    assert found / 40 >= 0.9
    assert naive / 150 > 0.2
