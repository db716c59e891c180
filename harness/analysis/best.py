"""Which point is best, and which can't be told apart from it: chosen by intervals, never by noise.

A point counts as best alone only where the 95 % interval of its ratio to *every* other candidate
excludes 1. That needs no further correction for the number of candidates: among equal points the
gap between the first and the second shrinks as they become more, so a false winner is no likelier
than the 5 % it has between two.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.blocks import Places
from harness.analysis.constraints import Bound, Bounds, holds, satisfies
from harness.analysis.differences import Differences, by_round
from harness.analysis.intervals import Interval
from harness.analysis.knee import cost_metrics, knees, times
from harness.analysis.objective import Objective, single
from harness.analysis.pareto import ROUNDING, front
from harness.analysis.summary import SummaryRow
from harness.results.grouping import gathered
from harness.scenario.sizes import decisive

INDIFFERENCE = 0.05
"""Share of the objective that is worth giving up for less latency, memory or CPU."""
FIRST_LOOK = 16
"""Rows that are looked at for a group of the same rank before more are."""
SAME_MEMORY = 0.02
"""Share by which sizes may differ and still count as the same."""
SAME_VALUE = 0.01
"""The same of values, where a tail decides: what is not shown to be worse may still be."""


def usable(row: SummaryRow) -> bool:
    """Whether a point may be ranked and compared: valid, no round of it failed, and its load was
    asked for, not tried by a search.
    """
    return row.valid and not row.failures and not row.searched


def at_decisive(rows: Iterable[SummaryRow]) -> list[SummaryRow]:
    """Of points at several sizes of dynamic dimensions those that the run is decided at."""
    rows = list(rows)
    label = decisive(row.sizes for row in rows)
    return [row for row in rows if row.sizes == label]


def ranked(rows: Iterable[SummaryRow]) -> list[SummaryRow]:
    """The usable points of those: what is ranked, and what answers for the constraints."""
    return [row for row in at_decisive(rows) if usable(row)]


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
    """The cheapest in memory of `close`'s knees, and of those that need the same the quickest; None
    where there are no intervals to choose by."""
    decidable: bool
    """Whether all tied points have intervals, so that differences can be shown at all."""
    close: tuple[SummaryRow, ...] = ()
    """Candidates with an interval whose value is worse than the first one's by the indifference or
    less."""
    is_front: bool = False
    """The objective is a list: `tied` is the Pareto front, whose points differ but none of which
    is clearly beaten. Then none is recommended."""
    tail: str = ""
    """The tail latency that made the recommended one the choice, where that did."""

    @property
    def best(self) -> SummaryRow | None:
        """The candidate with the best value: a winner only if it is alone in `tied`."""
        return self.candidates[0] if self.candidates else None

    @property
    def winner(self) -> SummaryRow | None:
        """The one point that is better than every other candidate, if there is one."""
        return self.tied[0] if self.decidable and len(self.tied) == 1 else None


def order(rows: Sequence[SummaryRow], objective: Objective) -> list[SummaryRow]:
    """The ranked points that have a finite value of the objective, best first (a stable sort).

    For a Pareto objective, by the geometric mean of its metrics.
    """
    sign, valued = -objective.sign, [(objective.value(r), r) for r in ranked(rows)]
    known = [(v.value, r) for v, r in valued if v is not None and 0 < v.value < math.inf]
    return [r for _, r in sorted(known, key=lambda pair: sign * pair[0])]


def choose(
    rows: Sequence[SummaryRow],
    objective: Objective,
    bounds: Bounds,
    indifference: float = INDIFFERENCE,
    run: Differences | None = None,
) -> Choice:
    """The best of the points that are shown to hold every bound, with those tied with it.

    Of the points whose value is worse than the best one's by no more than `indifference` (a share)
    the knee is recommended, even where the best is a winner: what needs clearly more latency,
    memory or cores for the last percent is not. Where intervals are wide, a tie also holds points
    that look much worse, and that nothing shows to be as good. `run` knows all points of the run;
    without it `rows` are all.
    """
    run = run or Differences(rows)
    candidates = [r for r in order(rows, objective) if satisfies(r, bounds) == "yes"]
    if not candidates:
        return Choice((), (), None, False, is_front=objective.pareto)
    if objective.pareto:
        best = front(candidates, objective.metrics, run)
        first = [*best.rows, *(r for r in candidates if r not in best.rows)]
        return Choice(tuple(first), best.rows, None, best.decidable, is_front=True)
    dropped = _dropped(candidates, objective)
    candidates = _dropped_last(candidates, dropped)
    tied = _tied(candidates, objective, dropped, run)
    values = [objective.value(r) for r in tied]
    decidable = all(v is not None and v.low is not None for v in values)
    near = close([r for r in candidates if r.point not in dropped], candidates[0], objective,
                   indifference, run)  # fmt: skip
    found = Choice(tuple(candidates), tuple(tied), None, decidable, tuple(near))
    if not decidable:
        return found
    picked, tail = quickest(cheapest(knees(near, objective, run)), objective, run)
    return replace(found, recommended=picked, tail=tail)


def _tied(
    ordered: Sequence[SummaryRow], objective: Objective, dropped: Collection[str], run: Differences
) -> list[SummaryRow]:
    """The first row and those that are not shown to be worse."""
    places = run.places(ordered, objective)
    worse = {*_worse(ordered, places, objective, dropped, run)}
    return [row for place, row in enumerate(ordered) if place not in worse]


def _worse(
    ordered: Sequence[SummaryRow], places: Places, objective: Objective, dropped: Collection[str],
    run: Differences,
) -> Iterator[int]:  # fmt: skip
    """The rows that are shown to be worse than the first, by their place, in order: at once for
    all where that is clear. `places` are theirs in the run.

    Where rounds are missing one may even be better within rounds: then nobody wins.
    """
    first = ordered[0]
    gap, half = run.apart(int(places[0]), places, objective)
    sure = gap - half > ROUNDING
    if dropped and first.point not in dropped:
        sure |= np.array([row.point in dropped for row in ordered])
    unclear = ~sure & (np.isnan(gap) | ((gap > -ROUNDING) & np.isfinite(half)))
    at = np.flatnonzero(unclear).tolist()
    ratios = run.advantages(first, [ordered[place] for place in at], objective)
    sure[at] = [ratio is not None and (ratio.low or 0) > 1 for ratio in ratios]
    sure[0] = False
    yield from np.flatnonzero(sure).tolist()


def _dropped(rows: Sequence[SummaryRow], objective: Objective) -> set[str]:
    """The points that a search gave up after one round: another point, which was repeated, beat
    them there.

    They have no interval and can be neither the best nor tied with it. In a run that ended early
    others have one round too, as has a point whose others were disturbed: of them it is not known.
    """
    if all(row.rounds > 1 for row in rows):
        return set()
    configs = gathered({(row.backend, row.config) for row in rows})
    sign = -objective.sign
    best: dict[int, float] = {}
    """By round, of the points that were repeated; the smallest is best."""
    for row in rows:
        for number, value in by_round(row, objective) if row.rounds > 1 else ():
            best[number] = min(best.get(number, math.inf), sign * value)
    return {
        row.point
        for row in rows
        if len(row.every) < 2 and len(configs[row.backend]) > 1
        and any(best.get(n, math.inf) < sign * value for n, value in by_round(row, objective))
    }  # fmt: skip


def _dropped_last(ordered: Sequence[SummaryRow], dropped: Collection[str]) -> list[SummaryRow]:
    return sorted(ordered, key=lambda r: r.point in dropped)


def indifference_of(scenario: Mapping[str, object]) -> float:
    """The indifference zone of a resolved scenario, as a share."""
    search = scenario.get("search")
    return float(
        search.get("indifference", INDIFFERENCE) if isinstance(search, Mapping) else INDIFFERENCE
    )


def close(
    rows: Sequence[SummaryRow], best: SummaryRow, objective: Objective, share: float,
    run: Differences,
) -> list[SummaryRow]:  # fmt: skip
    """Those whose value is worse than the best one's by no more than a share."""
    places = run.places((best, *rows), objective)
    gap, _ = run.apart(int(places[0]), places[1:], objective)

    def within(row: SummaryRow, apart: float) -> bool:
        if row is best or math.isfinite(apart):
            return row is best or math.exp(apart) <= 1 + share
        ratio = run.advantage(best, row, objective)
        return ratio is not None and ratio.value <= 1 + share

    return [row for row, apart in zip(rows, gap.tolist(), strict=True) if within(row, apart)]


def cheapest(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    """The rows that need least memory, to within `SAME_MEMORY`: the GPU's where all have it, else
    the host's; all of them where memory is not known.
    """
    for name in ("gpu_memory_mib", "host_memory_mib"):
        known = [size.value for r in rows if (size := r.value(name)) is not None]
        if len(known) == len(rows):
            most = min(known) + abs(min(known)) * SAME_MEMORY  # below 0: less than the baseline
            return [r for r, s in zip(rows, known, strict=True) if s <= most]
    return list(rows)


def quickest(
    rows: Sequence[SummaryRow], objective: Objective, run: Differences
) -> tuple[SummaryRow, str]:
    """The first row, unless others of the same value, to within `SAME_VALUE` and not shown to be
    worse, are shown to have a shorter tail: then the one with the shortest, and that metric.
    """
    first = rows[0]
    tail = next((m for m in cost_metrics(rows, objective) if m.startswith("latency_")), "")

    def shorter(row: SummaryRow) -> bool:
        worse, ends = run.advantage(first, row, objective), run.advantage(row, first, single(tail))
        alike = worse is not None and worse.value <= 1 + SAME_VALUE and not differs(worse)
        return alike and ends is not None and (ends.low or 0) > 1

    found = [(times(row, first, tail), row) for row in rows[1:] if tail and shorter(row)]
    return (min(found, key=lambda pair: pair[0])[1], tail) if found else (first, "")


def ranks(
    rows: Sequence[SummaryRow], objective: Objective, run: Differences | None = None
) -> dict[str, str]:
    """Point → rank, best first: `1` alone, or `1=` for neighbours that can't be told apart from the
    best of their group.

    Ranks follow the value: a group ends at the first point that is shown to be worse than its best,
    and no wide interval lifts what comes later above that one. For a Pareto objective the front is
    the first group, the front of what is left the second. `run` knows all points of the run;
    without it `rows` are all.
    """
    run = run or Differences(rows)
    ordered = order(rows, objective)
    dropped = _dropped(ordered, objective)
    left, ranked = _dropped_last(ordered, dropped), dict[str, str]()
    places = run.places([] if objective.pareto else left, objective)
    while len(ranked) < len(ordered):
        place = len(ranked)
        if objective.pareto:
            group = list(front([r for r in left if r.point not in ranked], objective.metrics,
                               run).rows)  # fmt: skip
        else:
            group = _alike(left[place:], places[place:], objective, dropped, run)
        for row in group:
            ranked[row.point] = f"{place + 1}=" if len(group) > 1 else str(place + 1)
    return ranked


def _alike(
    ordered: Sequence[SummaryRow], places: Places, objective: Objective, dropped: Collection[str],
    run: Differences,
) -> list[SummaryRow]:  # fmt: skip
    """The first row, and those after it up to the first that is shown to be worse."""
    size = FIRST_LOOK
    while True:
        some = ordered[:size]
        end = next(_worse(some, places[:size], objective, dropped, run), len(some))
        if end < len(some) or size >= len(ordered):
            return list(some[:end])
        size *= 4


# ----------------------------------------------------------------- when no point holds every bound


@dataclass(frozen=True, slots=True)
class Miss:
    """A bound that a point does not hold, or is not shown to hold."""

    metric: str
    bound: float
    found: Interval | None
    """None where the metric is not known."""
    by: float | None
    """By how much the value misses the bound, as a share of it: 0.25 is 25 % too much, or too
    little. 0 where the value holds it and only its interval does not; None where it is not known.
    """

    @property
    def severity(self) -> float:
        """For comparing: the shared measure of all metrics; what is not known is worst."""
        return math.inf if self.by is None else self.by

    @property
    def missed(self) -> str:
        """`missed by 25%`; `held` by the value; of a bound of 0 there are no percents."""
        if not self.by or math.isinf(self.by):
            return "missed" if self.by else "held"
        return f"missed by {100 * self.by:{',.0f' if self.by >= 1 else '.3g'}}%"


@dataclass(frozen=True, slots=True)
class Nearest:
    """The point that comes nearest to holding every bound."""

    row: SummaryRow
    misses: tuple[Miss, ...]
    """The worst first."""


def misses(row: SummaryRow, bounds: Bounds) -> tuple[Miss, ...]:
    """The bounds that a point is not shown to hold, the worst first."""
    missed = (
        _miss(row, name, bound)
        for name, bound in bounds.items()
        if holds(row, name, bound) != "yes"
    )
    return tuple(sorted(missed, key=lambda m: -m.severity))


def _miss(row: SummaryRow, name: str, bound: Bound) -> Miss:
    value = row.value(name)
    least, most = bound.get("min"), bound.get("max")
    limit = float(most if most is not None else least or 0.0)
    if value is None:
        return Miss(name, limit, None, None)
    excess = value.value - limit if most is not None else limit - value.value
    if excess <= 0:
        return Miss(name, limit, value, 0.0)
    return Miss(name, limit, value, excess / limit if limit else math.inf)


def nearest(rows: Sequence[SummaryRow], bounds: Bounds) -> Nearest | None:
    """The ranked point whose worst miss is smallest; None without ranked points."""
    known = [Nearest(row, misses(row, bounds)) for row in ranked(rows)]
    return min(known, key=lambda n: [m.severity for m in n.misses], default=None)
