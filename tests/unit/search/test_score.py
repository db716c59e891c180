"""How good a config is: first by its bounds, then by the objective, larger is better."""

from __future__ import annotations

import math

import pytest
from support.rows import point

from harness.analysis.objective import THROUGHPUT, single
from harness.search.score import WORST, Score, best_score, by_config, countable, score, scores
from harness.search.space import Goal

FAST = Goal(THROUGHPUT, {"latency_p50_ms": {"max": 10.0}})


def test_the_value_is_the_logarithm_turned_so_that_more_is_better() -> None:
    row = point([100.0, 100.0], latency_ms={"p50": 5.0})
    assert score(row, FAST).value == pytest.approx(math.log(100.0))
    assert score(row, Goal(single("latency_p50_ms"), {})).value == pytest.approx(-math.log(5.0))


def test_a_missed_bound_weighs_more_than_any_value() -> None:
    slow = point([900.0, 900.0], latency_ms={"p50": 15.0})
    quick = point([1.0, 1.0], latency_ms={"p50": 5.0})
    assert score(slow, FAST).held == pytest.approx(-0.5)
    assert score(quick, FAST).held == 0
    assert score(quick, FAST) > score(slow, FAST) > WORST


def test_wrong_and_unmeasured_points_are_worst() -> None:
    wrong = point(flags=("wrong_outputs",))
    assert not countable(wrong)
    assert score(wrong, FAST) == WORST
    assert countable(point(flags=("no_steady_state",)))  # may be a false alarm
    assert score(point([math.inf]), Goal(THROUGHPUT, {})) == WORST
    assert best_score([], FAST) == WORST


def test_a_config_is_as_good_as_its_best_point() -> None:
    points = ((1.0, "x", "t"), (4.0, "x", "t"), (2.0, "y", "t"), (9.0, "y", "u"))
    rows = [point([value], config=config, backend=name) for value, config, name in points]
    groups = by_config(rows, "t")
    assert {name: len(found) for name, found in groups.items()} == {"x": 2, "y": 1}
    found = scores(groups, Goal(THROUGHPUT, {}))
    assert found["x"] == Score(0.0, pytest.approx(math.log(4.0)))
    assert found["x"] > found["y"]
