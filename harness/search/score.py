"""How good a config is, by the values of its points: for steering a search, never for a verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.analysis.best import at_decisive, misses
from harness.analysis.summary import SummaryRow
from harness.results.grouping import grouped
from harness.search.space import Goal

UNUSABLE = frozenset({"parity", "wrong_outputs", "outputs_differ", "all_failed"})
"""Flags that make a point's speed meaningless. Others, such as a drift, may be a false alarm in a
single round, and the final choice looks at all of them."""


@dataclass(frozen=True, slots=True, order=True)
class Score:
    """Compares as tuples do: first by the constraints, then by the objective; larger is better."""

    held: float
    """0 where every bound is held, else minus the worst miss, as a share of its bound."""
    value: float
    """Logarithm of the objective, turned so that more is better."""


WORST = Score(-math.inf, -math.inf)
"""Of a config that failed."""


def countable(row: SummaryRow) -> bool:
    """Whether a point says something about its config's speed."""
    return bool(row.rounds) and not row.failures and not UNUSABLE.intersection(row.flags)


def score(row: SummaryRow, goal: Goal) -> Score:
    """Of one point."""
    value = goal.objective.value(row)
    if not countable(row) or value is None or not 0 < value.value < math.inf:
        return WORST
    worst = max((m.severity for m in misses(row, goal.bounds)), default=0.0)
    return Score(-worst, goal.objective.sign * math.log(value.value))


def best_score(rows: Iterable[SummaryRow], goal: Goal) -> Score:
    """Of a config: its best point's."""
    return max((score(row, goal) for row in rows), default=WORST)


def by_config(rows: Iterable[SummaryRow], backend: str) -> dict[str, list[SummaryRow]]:
    """A backend's points by config, in order of first appearance: those it is decided at."""
    return grouped((r for r in at_decisive(rows) if r.backend == backend), lambda r: r.config)


def scores(rows: Mapping[str, Iterable[SummaryRow]], goal: Goal) -> dict[str, Score]:
    """Of every config, in the same order."""
    return {config: best_score(found, goal) for config, found in rows.items()}
