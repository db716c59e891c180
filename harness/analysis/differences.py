"""How much better one point of a run is than another, seen against all points of that run.

A difference is taken within rounds, and points lend one another their variance: see
`harness.analysis.blocks`. So every comparison needs the whole run, not only the two it is about.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from harness.analysis.blocks import Blocks, Places
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
        return self.advantages(row, [other], objective, level)[0]

    def advantages(
        self, row: SummaryRow, others: Iterable[SummaryRow], objective: Objective,
        level: float = 0.95,
    ) -> list[Interval | None]:  # fmt: skip
        """`advantage` over each of many."""
        points = [other.point for other in others]
        return self._of(objective).ratios(row.point, points, level, objective.sign)

    def places(self, rows: Iterable[SummaryRow], objective: Objective) -> Places:
        """Where `apart` finds these points."""
        return self._of(objective).places(row.point for row in rows)

    def apart(
        self, place: int, others: Places, objective: Objective
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Log of the advantage of one point over each of many, and how far the ends of its interval
        may at most be from it: see `Blocks.apart`.
        """
        gap, half = self._of(objective).apart(place, others)
        return objective.sign * gap, half

    def _of(self, objective: Objective) -> Blocks:
        if objective not in self._blocks:
            by_point = {row.point: dict(by_round(row, objective)) for row in self._rows}
            self._blocks[objective] = Blocks({
                point: values for point, values in by_point.items()
                if all(0 < v < math.inf for v in values.values())
            })  # fmt: skip
        return self._blocks[objective]


def by_round(row: SummaryRow, objective: Objective) -> list[tuple[int, float]]:
    """The objective in each round, with the round's number; empty where a round lacks it."""
    values = objective.per_round(row)
    return [(m.round, v) for m, v in zip(row.measurements, values, strict=False)]
