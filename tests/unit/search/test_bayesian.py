"""What the sampler is told of a config; the search itself is in test_choose."""

from __future__ import annotations

import math

import pytest
from support.rows import point

from harness.analysis.objective import THROUGHPUT, parse_objective
from harness.analysis.summary import SummaryRow
from harness.search.bayesian import MISSED, _values
from harness.search.space import Goal

BOUNDS = {"latency_p50_ms": {"max": 10.0}}
FRONT = Goal(parse_objective(["throughput", "latency_p50_ms"]), BOUNDS)
ONE = Goal(THROUGHPUT, BOUNDS)


def row(throughput: float, p50: float) -> SummaryRow:
    return point([throughput], latency_ms={"p50": p50})


def test_what_holds_is_told_by_its_value() -> None:
    assert _values([row(100.0, 5.0)], ONE) == pytest.approx([math.log(100.0)])


def test_what_misses_is_below_all_that_holds_and_less_so_the_nearer_it_is() -> None:
    near, far = (_values([row(1e9, p50)], ONE)[0] for p50 in (12.0, 40.0))
    assert near == pytest.approx(MISSED * 1.2)
    assert far == pytest.approx(MISSED * 4.0)
    assert _values([row(1e-3, 5.0)], ONE)[0] > near > far


def test_of_a_front_only_the_points_that_hold_are_told() -> None:
    """The best of each metric; the point that misses the bound has more throughput."""
    rows = [row(900.0, 20.0), row(100.0, 5.0), row(200.0, 8.0)]
    assert _values(rows, FRONT) == pytest.approx([math.log(200.0), -math.log(5.0)])


def test_a_front_without_a_point_that_holds_has_the_same_value_in_each_metric() -> None:
    assert _values([row(900.0, 20.0)], FRONT) == pytest.approx([MISSED * 2, MISSED * 2])
