"""Which points are worth another round, so that the best can be told from the others.

After the rounds that every point gets, the choice is between the points whose intervals do not
show that they are worse than the best one. They are measured again until each of them is shown to
be worse, or to differ from the best by no more than `indifference`, below which it does not matter
which is taken: the indifference zone of R. E. Bechhofer, Annals of Mathematical Statistics 25
(1954). Because that is asked after every round, the intervals are 99.5 % ones: of two equal configs
one is then named best in 8 % of searches (200 simulated ones as in the tests; with 99 % in 11 %).

What is to be told apart are configs, so each one is measured again at its best point alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.best import ranked
from harness.analysis.constraints import holds, satisfies
from harness.analysis.differences import Differences
from harness.analysis.summary import SummaryRow
from harness.search.halving import breaks
from harness.search.score import score
from harness.search.space import Goal

LEVEL = 0.995


def contenders(
    rows: Sequence[SummaryRow], goal: Goal, run: Differences | None = None
) -> list[SummaryRow]:
    """The points to measure again, the best one first; empty when the choice is made.

    Points of a single round, which a search gave up, and INVALID ones are none; one of which all
    other rounds were disturbed is measured again until it can be compared. Where no point is
    shown to hold the constraints, it is those that may hold them. A Pareto front has no best
    point, so nothing is to be told apart. `run` knows all points of the run; without
    it `rows` are all.
    """
    if goal.objective.pareto:
        return []
    run = run or Differences(rows)
    rows = [row for row in ranked(rows) if len(row.every) > 1 and _may_hold(row, goal)]
    held = [row for row in rows if satisfies(row, goal.bounds) == "yes"]
    if not rows:
        return []
    best = max(held or rows, key=lambda row: (row.rounds > 1, score(row, goal)))
    others: dict[tuple[str, str], SummaryRow] = {}
    for row in rows:
        name = row.backend, row.config
        if name != (best.backend, best.config) and _is_open(best, row, goal, run):
            others[name] = max(others.get(name, row), row, key=lambda r: score(r, goal))
    return [best, *others.values()] if others or not held else []


def _may_hold(row: SummaryRow, goal: Goal) -> bool:
    """Whether every bound holds, or may be shown to hold by more rounds."""
    if breaks(row, goal):
        return False
    open_ = (row.value(n) for n, b in goal.bounds.items() if holds(row, n, b) == "unknown")
    return row.rounds < 2 or all(v is not None and v.low is not None for v in open_)


def _is_open(best: SummaryRow, row: SummaryRow, goal: Goal, run: Differences) -> bool:
    """Whether the row may be better than the best, or worse by more than what matters."""
    ratio = run.advantage(best, row, goal.objective, LEVEL)
    if ratio is None or ratio.low is None or ratio.high is None or ratio.low > 1:
        return row.rounds < 2
    zone = 1 + goal.indifference
    # the low end too: where rounds are missing, the better within rounds may have the worse value
    return ratio.high > zone or ratio.low < 1 / zone or satisfies(row, goal.bounds) == "unknown"
