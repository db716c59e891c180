"""Which configs are worth another round: those that are not clearly worse than the best.

A config is dropped when each of its points either clearly breaks a constraint, or is clearly worse
than the best point that holds them all: the interval of their ratio excludes 1. Because that is
asked again after every round, the interval is a 99 % one. With one round there are no intervals,
and nothing is dropped; nor is what something from outside disturbed in each of its rounds, beside
configs that were left alone. What was dropped does not come back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from harness.analysis.constraints import satisfies
from harness.analysis.differences import Differences
from harness.analysis.pareto import dominates
from harness.analysis.summary import SummaryRow
from harness.scenario.variants import DEFAULT_CONFIG
from harness.search.score import countable, score
from harness.search.space import Goal

LEVEL = 0.99


def not_clearly_worse(
    rows: Mapping[str, Sequence[SummaryRow]], goal: Goal, run: Differences | None = None
) -> list[str]:
    """The configs that stay, in the order given; `default` always does.

    `run` knows all points of the run; without it `rows` are all.
    """
    run = run or Differences(row for found in rows.values() for row in found)
    every = [row for found in rows.values() for row in found if countable(row)]
    holding = [row for row in every if satisfies(row, goal.bounds) == "yes"]
    if not any(not breaks(row, goal) for row in every):
        return list(rows)  # all break a constraint: those that do so least must not be lost
    return [
        config
        for config, found in rows.items()
        if config == DEFAULT_CONFIG or any(_hopeful(row, holding, goal, run) for row in found)
    ]


def _hopeful(row: SummaryRow, holding: Sequence[SummaryRow], goal: Goal, run: Differences) -> bool:
    """Whether a point may still turn out to be the best, or on the front."""
    if countable(row) and not row.quiet and any(other.quiet for other in holding):
        return True
    if not countable(row) or breaks(row, goal):
        return False
    if goal.objective.pareto:
        return not any(dominates(other, row, goal.objective.metrics, run) for other in holding)
    if not holding:
        return True
    best = max(holding, key=lambda other: score(other, goal))
    ratio = run.advantage(best, row, goal.objective, LEVEL)
    return row is best or ratio is None or ratio.low is None or ratio.low <= 1


def breaks(row: SummaryRow, goal: Goal) -> bool:
    """Whether a constraint is clearly broken: one round alone shows nothing clearly."""
    return row.rounds > 1 and satisfies(row, goal.bounds) == "no"
