"""How many measurements are expected; the whole estimate is judged in cli/test_time_left.py."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.rows import point

from harness.analysis.stopping import Width, width
from harness.run.to_come import rounds_needed
from harness.scenario.spec.load import Measurement

SETTINGS = Measurement.model_validate({"rounds": 5, "rounds_max": 15})
TARGETS = {"throughput": 0.01, "p50": 0.01, "p99": 0.05}


def added(throughputs: list[float]) -> float:
    """Rounds beyond the planned ones, on average over the draws."""
    found = width(point(throughputs), TARGETS)
    return float(rounds_needed([found.point], [found], SETTINGS).mean()) - 5


def test_rounds_are_expected_by_the_widths() -> None:
    assert added([100.0, 100.1, 100.0, 100.1, 100.0]) == 0
    wide = added([100.0, 102.0, 99.0, 101.5, 100.0])
    assert 1 < wide < 10
    assert added([100.0, 150.0, 60.0, 120.0, 90.0]) == 10  # never beyond the most


def test_before_a_second_round_it_is_anything_from_the_fewest_to_the_most() -> None:
    found = rounds_needed(["a/b1/c1", "b/b1/c1"], [Width("a/b1/c1", 1, math.inf, "", {})], SETTINGS)
    assert found.shape == (100, 2)
    assert (found[:, 0] == found[:, 1]).all()  # noise is that of the machine
    few, many = np.isclose(found, 5).mean(), np.isclose(found, 15).mean()
    assert 0.2 < few < 0.45
    assert 0.2 < many < 0.45
    assert 8 < np.median(found) < 10


@pytest.mark.parametrize("rounds", [2, 3])
def test_few_rounds_foretell_on_average_what_all_planned_ones_ask_for(rounds: int) -> None:
    """Rounds that scatter by 1 % for ±1 %: the rule's own count, over five runs of 60 points."""
    rng, targets = np.random.default_rng(1), {"throughput": 0.01, "p50": 1.0, "p99": 1.0}
    foretold: list[float] = []
    asked: list[float] = []
    for _ in range(5):
        logs = rng.normal(0, 0.01, (60, 5))
        names = [f"a/b{n + 1}/c1" for n in range(60)]
        for into, known in ((foretold, rounds), (asked, 5)):
            rows = [point([100 * math.exp(v) for v in row[:known]], point=name)
                    for name, row in zip(names, logs, strict=True)]  # fmt: skip
            needed = rounds_needed(names, [width(row, targets) for row in rows], SETTINGS)
            into.append(float((needed - 5).sum(axis=1).mean()))
    assert sum(foretold) == pytest.approx(sum(asked), rel=0.1)
    assert 2 < sum(asked) / 300 < 5


def test_a_capacity_takes_its_scatter_anew_so_that_it_needs_fewer() -> None:
    """t of five rounds stays 2.78 for a point; for a capacity it falls with each round."""
    names = ["a/b1/find_capacity", "a/b1/c1"]
    found = [Width(name, 5, 1.4, "", {}) for name in names]
    capacity, other = rounds_needed(names, found, SETTINGS).mean(axis=0)
    assert 6 < capacity < other == 10
