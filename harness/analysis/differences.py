"""How much better one point of a run is than another, seen against all points of that run.

A difference is taken within rounds, and points lend one another their variance: see
`harness.analysis.blocks`. So every comparison needs the whole run, not only the two it is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from harness.analysis.blocks import Blocks
from harness.analysis.intervals import Interval
from harness.analysis.objective import Objective
from harness.analysis.summary import SummaryRow


class Differences:
    """The points of one run, ready to be compared with one another; made once a run.

    Rates that a search for a capacity tried are left out: overloaded on purpose, they say nothing
    of how much the others scatter.
    """

    def __init__(self, rows: Iterable[SummaryRow]) -> None:
        self._rows = tuple(row for row in rows if not row.searched)
        self._blocks: dict[Objective, Blocks] = {}

    def advantage(
        self, row: SummaryRow, other: SummaryRow, objective: Objective, level: float = 0.95
    ) -> Interval | None:
        """How many times better `row` is than `other`; above 1 is better, whatever the objective.

        None where one of them is no point of the run, or has no positive, finite value of the
        objective in each round: leaving a round out would hide a failure.
        """
        if objective not in self._blocks:
            self._blocks[objective] = self._measured(objective)
        more, less = (row, other)[:: objective.sign]
        return self._blocks[objective].ratio(more.point, less.point, level)

    def _measured(self, objective: Objective) -> Blocks:
        by_point = {row.point: dict(by_round(row, objective)) for row in self._rows}
        return Blocks(
            {
                point: values
                for point, values in by_point.items()
                if all(0 < v < math.inf for v in values.values())
            }
        )


def by_round(row: SummaryRow, objective: Objective) -> list[tuple[int, float]]:
    """The objective in each round, with the round's number; empty where a round lacks it."""
    values = objective.per_round(row)
    return [(m.round, v) for m, v in zip(row.measurements, values, strict=False)]
