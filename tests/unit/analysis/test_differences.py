"""Comparisons within a run know the whole run: its rounds, and how much its points scatter."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from support.rows import point

from harness.analysis.differences import Differences, by_round
from harness.analysis.intervals import log_t_interval
from harness.analysis.objective import THROUGHPUT, single
from harness.analysis.summary import SummaryRow

JOULES = single("joules_per_inference")


def run_of(count: int, *, luck: float = 0.0, noise: float = 0.01) -> list[SummaryRow]:
    """Points of equal value in three rounds whose luck all share."""
    rng = random.Random(4)
    rounds = [rng.gauss(0, luck) for _ in range(3)]
    return [
        point([100 * math.exp(r + rng.gauss(0, noise)) for r in rounds], backend=f"p{i}")
        for i in range(count)
    ]


def test_luck_that_a_round_gives_to_all_is_no_difference() -> None:
    rows = run_of(8, luck=0.2)
    found = Differences(rows).advantage(rows[0], rows[1], THROUGHPUT)
    logs = [np.log(row.per_round("throughput")) for row in rows[:2]]
    welch = stats.ttest_ind(*logs, equal_var=False).confidence_interval()
    assert found is not None and found.half_width is not None
    assert found.half_width < (welch.high - welch.low) / 2 / 5
    # all have all rounds: only the interval knows
    assert math.log(found.value) == pytest.approx(logs[0].mean() - logs[1].mean())


def test_the_other_points_say_how_much_a_point_scatters() -> None:
    """Two points alone have a t of two degrees of freedom; in a run they have more."""
    rows = run_of(12)
    alone = Differences(rows[:2]).advantage(rows[0], rows[1], THROUGHPUT)
    pairs = [m.throughput / n.throughput for m, n in
             zip(rows[0].measurements, rows[1].measurements, strict=True)]  # fmt: skip
    assert alone is not None and alone.low == pytest.approx(log_t_interval(pairs).low)
    run = Differences(rows)
    in_run = [
        found.half_width
        for a, b in zip(rows[::2], rows[1::2], strict=True)
        if (found := run.advantage(a, b, THROUGHPUT)) and found.half_width
    ]
    by_pairs = [
        found.half_width
        for a, b in zip(rows[::2], rows[1::2], strict=True)
        if (found := Differences([a, b]).advantage(a, b, THROUGHPUT)) and found.half_width
    ]
    assert len(in_run) == len(by_pairs) == 6
    assert sum(in_run) < 0.7 * sum(by_pairs)


def test_less_is_better_where_the_objective_says_so() -> None:
    frugal = point([100, 101, 99], backend="a", details={"joules_per_inference": 0.5})
    greedy = point([100, 101, 99], backend="b", details={"joules_per_inference": 1.0})
    run = Differences([frugal, greedy])
    found, back = run.advantage(frugal, greedy, JOULES), run.advantage(greedy, frugal, JOULES)
    assert found is not None and found.value == pytest.approx(2.0)
    assert back is not None and back.value == pytest.approx(0.5)


def test_a_point_that_lacks_the_metric_in_one_round_is_not_compared() -> None:
    rows = run_of(4)
    broken = tuple(replace(m, throughput=0.0 if m.round == 1 else m.throughput)
                   for m in rows[0].measurements)  # fmt: skip
    rows[0] = replace(rows[0], measurements=broken)
    run = Differences(rows)
    assert run.advantage(rows[0], rows[1], THROUGHPUT) is None
    assert run.advantage(rows[1], rows[0], THROUGHPUT) is None
    assert run.advantage(rows[1], rows[2], THROUGHPUT) is not None
    assert run.advantage(rows[1], rows[2], JOULES) is None


def test_a_point_of_another_run_is_not_compared() -> None:
    rows = run_of(4)
    assert Differences(rows[:3]).advantage(rows[0], rows[3], THROUGHPUT) is None


def test_rates_that_a_search_tried_say_nothing_of_the_others() -> None:
    rows = run_of(5)
    wild = point([1, 90, 3], backend="w", details={"search": {}})
    with_it, without = Differences([*rows, wild]), Differences(rows)
    assert with_it.advantage(rows[0], rows[1], THROUGHPUT) == without.advantage(
        rows[0], rows[1], THROUGHPUT
    )


def test_rounds_that_are_all_equal_have_no_width_and_no_error() -> None:
    """Memory is often the same in every round, of every point."""
    rows = [point([9, 9, 9], backend=f"p{i}", gpu_memory_mib=500.0 + 100 * i) for i in range(4)]
    found = Differences(rows).advantage(rows[0], rows[2], single("gpu_memory_mib"))
    assert found is not None and found.low is not None and found.high is not None
    assert found.low == pytest.approx(found.high) == pytest.approx(1.4)


def test_values_come_with_the_number_of_their_round() -> None:
    row = point([5.0, 6.0])
    late = replace(row, measurements=tuple(replace(m, round=m.round + 2) for m in row.measurements))
    assert by_round(late, THROUGHPUT) == [(2, 5.0), (3, 6.0)]
    assert by_round(late, JOULES) == []
