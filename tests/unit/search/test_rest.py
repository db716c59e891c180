"""What the rest of a search is foretold to be, beside what its own rules make of the same noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.rows import measurement

from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import summarize
from harness.results.rows import MeasurementRow
from harness.search.choose import kept_configs
from harness.search.contenders import contenders
from harness.search.rest import Rest
from harness.search.space import Goal, Space

PLANNED, MOST = 5, 10


def goal(method: str = "halving", **more: Any) -> Goal:
    return Goal(THROUGHPUT, {}, method, **more)


def row(config: str, throughput: float, round_: int) -> MeasurementRow:
    name = "t" if config == "default" else f"t/{config}"
    return measurement(
        point=f"{name}/b1/c1", backend="t", config=config, round=round_, throughput=throughput
    )


def drawn(
    truths: Sequence[float], rounds: int, scatter: float, asked: Goal, seed: int = 0
) -> tuple[Rest, list[MeasurementRow], np.random.Generator]:
    """Configs after so many rounds, and the draws of all later ones."""
    rng = np.random.default_rng(seed)
    names = ["default", *(f"i{n}" for n in range(1, len(truths)))]
    rows = [
        row(name, 100 * math.exp(truth + scatter * rng.normal()), r)
        for r in range(rounds) for name, truth in zip(names, truths, strict=True)
    ]  # fmt: skip
    places: dict[tuple[str, str], list[str]] = {("t", r.config): [r.point] for r in rows}
    rest = Rest(places, set(), summarize(rows), asked)
    every = np.ones((100, len(names)), np.bool_)
    for number in range(rounds, MOST):
        rest.round(number, every & (number < PLANNED), deciding=number >= PLANNED)
    return rest, rows, rng


def really(truths: Sequence[float], scatter: float, rows: list[MeasurementRow], asked: Goal,
           rng: np.random.Generator) -> int:  # fmt: skip
    """Points that the search's own rules measure from here on."""
    true = {r.config: truth for r, truth in zip(rows, truths, strict=False)}
    space, count, rows = Space("t", (), tuple((name, None) for name in true)), 0, list(rows)
    for number in range(max(r.round for r in rows) + 1, MOST):
        kept = kept_configs(space, asked, rows, [], number)
        if number >= PLANNED:
            left = [s for s in summarize(rows) if s.config in kept]
            kept = [s.config for s in contenders(left, asked)]
        rows += [row(c, 100 * math.exp(true[c] + scatter * rng.normal()), number) for c in kept]
        count += len(kept)
    return count


@pytest.mark.parametrize("scatter", [0.02, 0.1])
def test_the_rules_own_count_lies_in_the_middle_nine_tenths(scatter: float) -> None:
    truths = [-0.03 * n for n in range(16)]
    inside = 0
    for seed in range(12):
        rest, rows, rng = drawn(truths, 2, scatter, goal(), seed)
        low, high = np.quantile(rest.totals[0], [0.05, 0.95])
        inside += low <= really(truths, scatter, rows, goal(), rng) <= high
    assert inside >= 9


def test_what_is_told_apart_gets_no_round_and_what_is_not_gets_all() -> None:
    apart, *_ = drawn([0.0, -0.5, -1.0, -1.5], 5, 0.01, goal())
    assert apart.totals[0].max() == 0
    alike, *_ = drawn([0.0, 0.0, 0.0, 0.0], 5, 0.3, goal())
    assert np.median(alike.totals[0]) > 0.7 * 4 * (MOST - 5)


def test_halving_drops_and_grid_keeps() -> None:
    truths = [0.0, -0.5, -1.0, -1.5]
    halved, *_ = drawn(truths, 2, 0.01, goal())
    grid, *_ = drawn(truths, 2, 0.01, goal("grid"))
    assert set(halved.totals[0]) == {3.0}  # `default`, the best, alone in three planned rounds
    assert set(grid.totals[0]) == {12.0}


def test_quick_keeps_the_best_few_beside_the_default() -> None:
    truths = [-1.0, 0.0, -0.1, -0.2, -0.3, -0.4]
    rest, *_ = drawn(truths, 1, 0.01, goal("quick", top=2))
    round_two = rest.totals[0] - (PLANNED - 2) * 2
    assert round_two.min() >= 1 + 2  # the default and two in the second round
    assert rest.totals[0].max() <= 4 * 3 + (MOST - PLANNED) * 3


def test_configs_that_nobody_measured_may_come_or_not() -> None:
    places = {
        ("t", "default"): ["t/b1/c1", "t/b8/c1"],
        ("t", "+0"): ["", ""],
        ("t", "+1"): ["", ""],
    }
    rest = Rest(places, {"t/b1/c1"}, [], goal("grid"))
    first = rest.totals.copy()
    assert set(first[0]) == {0, 2, 4}  # in this round
    assert (first[0] == 2 * first[1]).all()
    rest.round(1, np.ones((100, 6), np.bool_), deciding=False)
    assert (rest.totals[0] == 2 * first[0] + 2).all()
    rest.round(2, np.tile([True, False, *[False] * 4], (100, 1)), deciding=False)
    assert (rest.totals == [2 * first[0] + 3, 2 * first[1] + 2]).all()
