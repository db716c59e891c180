"""How many measurements are expected; the whole estimate is judged in cli/test_time_left.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.rows import point

from harness.analysis.stopping import Width, width
from harness.run.to_come import rounds_to_add
from harness.scenario.spec.load import Measurement

SETTINGS = Measurement.model_validate({"rounds": 5, "rounds_max": 15})
TARGETS = {"throughput": 0.01, "p50": 0.01, "p99": 0.05}
UNMEASURED = Width("", 0, math.inf, "", {})


def added(throughputs: list[float], round_: int) -> float:
    found = width(point(throughputs), TARGETS)
    return float(rounds_to_add([found], round_, SETTINGS).sum())


def test_rounds_are_expected_by_the_widths() -> None:
    assert added([100.0, 100.1, 100.0, 100.1, 100.0], 4) == 0
    wide = added([100.0, 102.0, 99.0, 101.5, 100.0], 4)
    assert 1 < wide < 10
    assert added([100.0, 150.0, 60.0, 120.0, 90.0], 4) == 10  # never beyond the most
    assert added([100.0, 150.0, 60.0, 120.0, 90.0], 9) == 5


def test_before_a_second_round_the_middle_of_the_fewest_and_the_most_is_expected() -> None:
    """√(5 · 15) is 8.7: the sixth to the ninth round of each point, whether it was begun or not."""
    found = rounds_to_add([UNMEASURED, UNMEASURED], 0, SETTINGS)
    assert found.shape == (2, 10)
    assert found.sum(axis=1).tolist() == [4, 4]


@pytest.mark.parametrize("rounds", [2, 3])
def test_few_rounds_foretell_on_average_what_all_planned_ones_ask_for(rounds: int) -> None:
    """Rounds that scatter by 1 % for ±1 %: the rule's own count, over five runs of 60 points."""
    rng, targets = np.random.default_rng(1), {"throughput": 0.01, "p50": 1.0, "p99": 1.0}
    foretold: list[float] = []
    asked: list[float] = []
    for _ in range(5):
        logs = rng.normal(0, 0.01, (60, 5))
        points = [point([100 * math.exp(v) for v in row]) for row in logs]
        early = [point([100 * math.exp(v) for v in row[:rounds]]) for row in logs]
        for into, rows in ((foretold, early), (asked, points)):
            widths = [width(row, targets) for row in rows]
            into.append(float(rounds_to_add(widths, len(rows[0].every) - 1, SETTINGS).sum()))
    assert sum(foretold) == pytest.approx(sum(asked), rel=0.1)
    assert 2 < sum(asked) / 300 < 5
