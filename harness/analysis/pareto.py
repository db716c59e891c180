"""The Pareto front: the points that no other point beats, judged by intervals, never by noise.

A point is *clearly dominated* by another when that one is shown better in at least one metric (the
95 % interval of their ratio excludes 1) and not worse in any: the interval lies above 1 − margin,
a test of non-inferiority, and shows no smaller loss either. All other points are on the front:
those that nobody beats, and those of which it can't be told. Source of non-inferiority by
intervals: P. Walker and W. Nowacki, Journal of General Internal Medicine 26 (2011).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.analysis.blocks import Places
from harness.analysis.differences import Differences
from harness.analysis.metrics import metric_of
from harness.analysis.objective import single
from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import latency_name

Truth = NDArray[np.bool_]
STRONGEST = 64
"""Points that are looked at first for what they dominate: most others, as a rule."""
ROUNDING = 1e-9
"""Of logs: what is nearer to a limit than this is judged pair by pair."""


def margin(metric: str) -> float:
    """The difference that does not count, as a share: 0.02 or 0.05."""
    return metric_of(metric).margin


def round_values(row: SummaryRow, metric: str) -> list[float]:
    """The metric in each round; empty where a round's is not known, or not positive and finite."""
    values = row.per_round(metric)
    return values if all(0 < v < math.inf for v in values) else []


def dominates(row: SummaryRow, other: SummaryRow, metrics: Sequence[str], run: Differences) -> bool:
    """Whether `row` clearly dominates `other`: false wherever an interval is missing."""
    return _dominated(row, [other], metrics, run)[0]


def _dominated(
    row: SummaryRow, others: Sequence[SummaryRow], metrics: Sequence[str], run: Differences
) -> list[bool]:
    """Which of `others` `row` clearly dominates."""
    worse, better = [False] * len(others), [False] * len(others)
    for metric in metrics:
        for place, found in enumerate(run.advantages(row, others, single(metric))):
            low, high = (found.low, found.high) if found else (None, None)
            # may be worse; or is shown to be, if only by less than the margin; or it isn't known
            worse[place] |= low is None or high is None or low < 1 - margin(metric) or high < 1
            better[place] |= low is not None and low > 1
    return [b and not w for b, w in zip(better, worse, strict=True)]


class Dominance:
    """Which of many points dominate which: what is clear at once for all, else pair by pair."""

    def __init__(
        self, rows: Sequence[SummaryRow], metrics: Sequence[str], run: Differences
    ) -> None:
        self._rows, self._metrics, self._run = rows, metrics, run
        self._places = [(m, run.places(rows, single(m))) for m in metrics]

    def clear(self) -> Places:
        """For each the strongest of a few points that surely dominates it; −1 without one."""
        every, by = np.arange(len(self._rows)), np.full(len(self._rows), -1)
        if not self._rows:
            return by
        behind = [self._run.apart(int(p[0]), p, single(m))[0] for m, p in self._places]
        looked_at = 0
        for place in np.argsort(np.nansum(behind, axis=0), kind="stable"):
            if by[place] < 0 and looked_at < STRONGEST:
                sure, _ = self._judged(int(place), every, 1)
                by[sure & (by < 0)] = place
                looked_at += 1
        return by

    def first_over(self, place: int, among: Places) -> int | None:
        """The first of `among`, places in the rows, that clearly dominates the one at `place`."""
        sure, maybe = self._judged(place, among, -1)
        for found in np.flatnonzero(maybe):
            other = int(among[found])
            if sure[found] or dominates(
                self._rows[other], self._rows[place], self._metrics, self._run
            ):
                return other
        return None

    def under(self, place: int, among: Places) -> int:
        """How many of `among` the one at `place` clearly dominates."""
        sure, maybe = self._judged(place, among, 1)
        unclear = among[maybe & ~sure]
        others = [self._rows[other] for other in unclear.tolist()]
        return int(sure.sum()) + sum(
            _dominated(self._rows[place], others, self._metrics, self._run)
        )

    def _judged(self, place: int, among: Places, sign: int) -> tuple[Truth, Truth]:
        """Whether each surely, or perhaps, is dominated (`sign` 1), or dominates (−1)."""
        no_loss, may = among != place, among != place
        better, may_better = np.zeros(len(among), bool), np.zeros(len(among), bool)
        for metric, places in self._places:
            least = math.log(1 - margin(metric))
            gap, half = self._run.apart(places[place], places[among], single(metric))
            gap = sign * gap
            no_loss &= (gap >= 0) & (gap - half > least + ROUNDING)
            better |= gap - half > ROUNDING
            unknown = np.isnan(gap)  # is looked at by itself
            may &= unknown | ((gap >= least - ROUNDING) & np.isfinite(half))
            may_better |= unknown | (gap > -ROUNDING)
        return no_loss & better, may & may_better


@dataclass(frozen=True, slots=True)
class Front:
    """Which points nobody clearly beats."""

    metrics: tuple[str, ...]
    rows: tuple[SummaryRow, ...]
    """The front, in the order given."""
    dominated: Mapping[str, str]
    """Point → the point that clearly dominates it; on the front itself where there is one."""
    decidable: bool
    """Whether there are intervals at all: with one round nothing can be shown to be dominated."""

    @property
    def judged(self) -> int:
        """Points that have all metrics."""
        return len(self.rows) + len(self.dominated)


def front(
    rows: Sequence[SummaryRow], metrics: Sequence[str], run: Differences | None = None
) -> Front:
    """The front of the points that have every metric in every round; others are left out.

    `run` knows all points of the run; without it `rows` are all.
    """
    known = [r for r in rows if all(round_values(r, m) for m in metrics)]
    pairs = Dominance(known, metrics, run or Differences(rows))
    by = pairs.clear()
    kept = by < 0
    for place in np.flatnonzero(kept):  # against those left, so that not all can go in a circle
        kept[place] = pairs.first_over(int(place), np.flatnonzero(kept)) is None
    left, every = np.flatnonzero(kept), np.arange(len(known))
    for place in np.flatnonzero(~kept):
        if by[place] < 0 or not kept[by[place]]:
            over = (pairs.first_over(int(place), some) for some in (left, every))
            by[place] = next(other for other in over if other is not None)
    dominated = {known[place].point: known[by[place]].point for place in np.flatnonzero(~kept)}
    front_rows = tuple(row for row, keep in zip(known, kept, strict=True) if keep)
    return Front(tuple(metrics), front_rows, dominated, any(r.rounds > 1 for r in known))


def trade_off_metrics(rows: Sequence[SummaryRow], percentile: str) -> tuple[str, ...]:
    """Throughput, latency at the percentile (`mean` for the mean), and the memory that is scarce:
    the GPU's where any was measured, else the host's where it was.
    """
    latency = latency_name(percentile)
    for memory in ("gpu_memory_mib", "host_memory_mib"):
        if any(r.value(memory) for r in rows):
            return "throughput", latency, memory
    return "throughput", latency
