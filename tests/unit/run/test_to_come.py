"""How many measurements are expected; the whole estimate is judged in cli/test_time_left.py."""

from __future__ import annotations

from support.rows import point

from harness.run.to_come import rounds_to_add
from harness.scenario.spec.load import Measurement

SETTINGS = Measurement.model_validate({"rounds": 5, "rounds_max": 15})
TARGETS = {"throughput": 0.01, "p50": 0.01, "p99": 0.05}


def added(throughputs: list[float], round_: int) -> float:
    return rounds_to_add([point(throughputs)], round_, SETTINGS, TARGETS)


def test_rounds_are_expected_by_the_widths() -> None:
    assert added([100.0, 100.1, 100.0, 100.1, 100.0], 4) == 0
    wide = added([100.0, 102.0, 99.0, 101.5, 100.0], 4)
    assert 1 < wide < 10
    assert added([100.0, 150.0, 60.0, 120.0, 90.0], 4) == 10  # never beyond the most
    assert added([100.0, 150.0, 60.0, 120.0, 90.0], 9) == 5
    assert added([100.0, 150.0], 1) == 0  # two rounds show no width


def test_fewer_rounds_than_planned_say_it_with_a_smaller_t() -> None:
    """1 % for ±1 %: (2.776)² = 7.7 rounds by the t of the planned five, 18.5 by three's."""
    assert 2 < added([100.0, 101.0, 99.0], 2) < 3.5
