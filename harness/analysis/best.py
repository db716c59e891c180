"""Which point is best, and which can't be told apart from it: chosen by intervals, never by noise.

A point counts as best alone only where the 95 % interval of its ratio to *every* other candidate
excludes 1. That needs no further correction for the number of candidates: among equal points the
gap between the first and the second shrinks as they become more, so a false winner is no likelier
than the 5 % it has between two.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.constraints import Bounds, metric, satisfies
from harness.analysis.summary import Interval, SummaryRow, ratio_interval


def smaller_is_better(objective: str) -> bool:
    """True for latencies, False for throughput."""
    return objective != "throughput"


def usable(row: SummaryRow) -> bool:
    """Whether a point may be ranked and compared: valid, and no round of it failed."""
    return row.valid and not row.failures


def per_round(row: SummaryRow, objective: str) -> list[float]:
    """The objective's value in each round; empty where a round lacks it."""
    if objective == "throughput":
        return [m.throughput for m in row.measurements]
    percentile = objective.removeprefix("latency_").removesuffix("_ms")
    values = [m.latency_ms.get(percentile) for m in row.measurements]
    known = [v for v in values if v is not None]
    return known if len(known) == len(values) else []


def advantage(row: SummaryRow, other: SummaryRow, objective: str) -> Interval | None:
    """How many times better `row` is than `other`; above 1 is better, whatever the objective.

    None where one of them has no positive, finite value of the objective in each round.
    """
    mine, theirs = per_round(row, objective), per_round(other, objective)
    if smaller_is_better(objective):
        mine, theirs = theirs, mine
    try:
        return ratio_interval(mine, theirs)
    except ValueError:
        return None


def differs(ratio: Interval | None) -> bool:
    """Whether the interval of a ratio excludes 1: only then may a difference be claimed."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return False
    return ratio.low > 1 or ratio.high < 1


@dataclass(frozen=True, slots=True)
class Choice:
    """The answer to "which is best?"."""

    candidates: tuple[SummaryRow, ...]
    """Points that may be chosen, the best value first."""
    tied: tuple[SummaryRow, ...]
    """The first candidate and those that can't be told apart from it; empty without candidates."""
    recommended: SummaryRow | None
    """The cheapest in memory of `tied`; None where there are no intervals to choose by."""
    decidable: bool
    """Whether the first candidate has an interval, so that differences can be shown at all."""

    @property
    def best(self) -> SummaryRow | None:
        """The candidate with the best value: a winner only if it is alone in `tied`."""
        return self.candidates[0] if self.candidates else None

    @property
    def winner(self) -> SummaryRow | None:
        """The one point that is better than every other candidate, if there is one."""
        return self.tied[0] if self.decidable and len(self.tied) == 1 else None


def order(rows: Sequence[SummaryRow], objective: str) -> list[SummaryRow]:
    """The usable points that have a finite value of the objective, best first (a stable sort)."""
    valued = [(metric(r, objective), r) for r in rows if usable(r)]
    known = [(v.value, r) for v, r in valued if v is not None and 0 < v.value < math.inf]
    sign = 1 if smaller_is_better(objective) else -1
    return [r for _, r in sorted(known, key=lambda pair: sign * pair[0])]


def choose(rows: Sequence[SummaryRow], objective: str, bounds: Bounds) -> Choice:
    """The best of the points that are shown to hold every bound, with those tied with it."""
    candidates = [r for r in order(rows, objective) if satisfies(r, bounds) == "yes"]
    if not candidates:
        return Choice((), (), None, False)
    tied = _group(candidates, objective)
    value = metric(candidates[0], objective)
    decidable = value is not None and value.low is not None
    recommended = cheapest(tied) if decidable else None
    return Choice(tuple(candidates), tuple(tied), recommended, decidable)


def _group(ordered: Sequence[SummaryRow], objective: str) -> list[SummaryRow]:
    """The first row and those whose ratio to it includes 1."""
    first = ordered[0]
    rest = [r for r in ordered[1:] if not differs(advantage(first, r, objective))]
    return [first, *rest]


def cheapest(rows: Sequence[SummaryRow]) -> SummaryRow:
    """The row that needs least memory: the GPU's where all have it, else the host's.

    Where memory is not known, the first row.
    """
    for name in ("gpu_memory_mib", "host_memory_mib"):
        sizes: list[float | None] = [getattr(r, name) for r in rows]
        if all(s is not None for s in sizes):
            return min(zip(sizes, rows, strict=True), key=lambda pair: pair[0] or 0.0)[1]
    return rows[0]


def ranks(rows: Sequence[SummaryRow], objective: str) -> dict[str, str]:
    """Point → rank: `1` alone, or `1=` for every row not told apart from the best of its group.

    A row joins the group of the best row that is left, so ranks run down in groups: 1=, 1=, 3.
    """
    left, found, place = order(rows, objective), {}, 1
    while left:
        group = _group(left, objective)
        for row in group:
            found[row.point] = f"{place}=" if len(group) > 1 else str(place)
        place += len(group)
        left = [r for r in left if r.point not in found]
    return found
