import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.rows import measurement

from harness.analysis.comparison import (
    ALPHA,
    EQUIVALENT,
    IMPROVEMENT,
    INCONCLUSIVE,
    REGRESSION,
    bound,
    differences,
    effect,
    holm,
    primary_values,
    rank_sum_tail,
    self_test,
    splits,
    verdict,
    verdicts,
)

rng = np.random.default_rng(5)


def noisy(count, scale=1.0, spread=0.01, generator=rng):
    return list(scale * np.exp(generator.normal(0, spread, count)))


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 5), (4, 4), (6, 3), (10, 10)])
def test_rank_sum_distribution_against_all_arrangements_or_scipy(n, m):
    tail = rank_sum_tail(n, m)
    assert len(tail) == n * m + 1
    assert tail[-1] == pytest.approx(1)
    if n + m <= 9:
        us = [sum(x) - n * (n - 1) // 2 for x in itertools.combinations(range(n + m), n)]
        assert tail == pytest.approx([np.mean(np.array(us) <= u) for u in range(n * m + 1)])
    assert np.allclose(1 - np.array(tail[:-1][::-1]), tail[:-1])  # symmetric


@pytest.mark.parametrize("n", [4, 7, 12])
def test_p_value_is_scipys(n):
    for shift in (0.0, 0.01, 0.05):
        a, b = noisy(n), noisy(n + 1, 1 + shift)
        expected = stats.mannwhitneyu(a, b, method="exact").pvalue
        assert effect(a, b, "p50").p == pytest.approx(expected)


def test_effect_is_the_hodges_lehmann_shift_and_worse_is_positive():
    a, b = [1.0, 2.0, 4.0], [2.0, 4.0, 8.0]
    assert effect(a, b, "p50").relative == pytest.approx(1.0)
    assert effect(a, b, "throughput").shift == pytest.approx(-math.log(2))
    assert effect(b, a, "throughput").relative == pytest.approx(1.0)


def test_interval_holds_exactly_the_shifts_that_the_test_does_not_reject():
    a, b = noisy(6), noisy(6, 1.01)
    found = effect(a, b, "p50")
    step = 1e-9
    for end, inside in ((found.low, step), (found.high, -step)):
        for shift, rejected in ((end + inside, False), (end - inside, True)):
            moved = [v / math.exp(shift) for v in b]
            assert (effect(a, moved, "p50").p < ALPHA) == rejected
    assert found.low < found.low90 < found.shift < found.high90 < found.high


def test_too_few_rounds_have_no_interval_and_no_verdict():
    found = effect([1.0, 1.1, 1.2], [2.0, 2.1, 2.2], "p50")
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert found.p == pytest.approx(0.1)
    assert verdict(found, found.p, 0.02) == INCONCLUSIVE
    assert bound(differences([1.0], [2.0], "p50"), 1, 1, 0.05) == -math.inf


@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_values_that_have_no_log_are_refused(bad):
    with pytest.raises(ValueError, match="positive and finite"):
        effect([1.0, bad], [1.0, 1.0], "p50")
    with pytest.raises(ValueError, match="no values"):
        effect([], [1.0], "p50")


def test_holm():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx(
        {"a": 0.03, "c": 0.06, "b": 0.06}
    )
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


@pytest.mark.parametrize(
    ("scale", "spread", "word"),
    [
        (1.06, 0.005, REGRESSION),
        (0.94, 0.005, IMPROVEMENT),
        (1.0, 0.005, EQUIVALENT),
        (1.02, 0.005, INCONCLUSIVE),
        (1.0, 0.1, INCONCLUSIVE),
    ],
)
def test_verdicts(scale, spread, word):
    generator = np.random.default_rng(11)
    a, b = noisy(10, 1.0, spread, generator), noisy(10, scale, spread, generator)
    assert verdicts({"p50": a}, {"p50": b}) == {"p50": word}
    flipped = {REGRESSION: IMPROVEMENT, IMPROVEMENT: REGRESSION}.get(word, word)
    assert verdicts({"throughput": a}, {"throughput": b}) == {"throughput": flipped}


def test_splits_take_one_of_each_pair_of_neighbours():
    found = list(splits(8, 50, seed=3))
    for a, b in found:
        assert sorted([*a, *b]) == list(range(8))
        assert all({x, y} == {2 * i, 2 * i + 1} for i, (x, y) in enumerate(zip(a, b, strict=True)))
    assert len({tuple(a) for a, _ in found}) > 8
    assert found == list(splits(8, 50, seed=3))


def test_self_test_raises_hardly_any_false_alarm_and_knows_what_it_can_detect():
    generator = np.random.default_rng(2)
    values = {
        "throughput": noisy(20, 100, 0.01, generator), "p50": noisy(20, 4, 0.01, generator),
        "p99": noisy(20, 9, 0.03, generator),
    }  # fmt: skip
    found = self_test("fake/b1/c1", values, count=300)
    assert (found.rounds, found.comparisons) == (10, 300)
    assert found.any_false_alarm <= 0.05 * 300
    # with sd 1 % and ten rounds the interval is about ±1 %, on top of a margin of 2 %
    assert 0.025 < found.detectable["p50"] < 0.05
    assert found.detectable["p99"] > found.detectable["p50"]
    assert found.equivalent["p50"] > 0


def test_a_shift_of_the_detectable_size_is_found_four_times_in_five():
    generator = np.random.default_rng(4)
    values = {"p50": noisy(20, 4, 0.01, generator), "throughput": noisy(20, 9, 0.01, generator)}
    found = self_test("x", values, count=300, seed=8)
    hits = {1.001: 0, 0.9: 0}
    for (a, b), (factor, _) in itertools.product(splits(20, 300, 8), hits.items()):
        slower = (1 + found.detectable["p50"]) ** factor
        sides = [{m: [v[i] for i in side] for m, v in values.items()} for side in (a, b)]
        sides[1]["p50"] = [v * slower for v in sides[1]["p50"]]
        hits[factor] += verdicts(*sides)["p50"] == REGRESSION
    assert hits[0.9] < 240 <= hits[1.001] <= 260


def test_self_test_of_few_rounds():
    assert self_test("x", {"p50": noisy(6)}, count=20).detectable["p50"] == math.inf
    with pytest.raises(ValueError, match="four rounds"):
        self_test("x", {"p50": noisy(3)})
    with pytest.raises(ValueError, match="four rounds"):
        self_test("x", {})


def test_primary_values_are_those_that_every_round_has():
    row = measurement(round=1, throughput=200.0, latency_ms={"p50": 2.0, "p99": None})
    other = replace(row, round=0, latency_ms={"p50": 1.0, "p99": 3.0}, throughput=100.0)
    assert primary_values([row, other]) == {"throughput": [100.0, 200.0], "p50": [1.0, 2.0]}
    unanswered = replace(other, latency_ms={"p50": math.inf, "p99": 3.0})
    assert list(primary_values([row, unanswered])) == ["throughput"]
