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

from harness.analysis.differences import Differences
from harness.analysis.metrics import metric_of
from harness.analysis.objective import single
from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import latency_name


def margin(metric: str) -> float:
    """The difference that does not count, as a share: 0.02 or 0.05."""
    return metric_of(metric).margin


def round_values(row: SummaryRow, metric: str) -> list[float]:
    """The metric in each round; empty where a round's is not known, or not positive and finite."""
    values = row.per_round(metric)
    return values if all(0 < v < math.inf for v in values) else []


def dominates(row: SummaryRow, other: SummaryRow, metrics: Sequence[str], run: Differences) -> bool:
    """Whether `row` clearly dominates `other`: false wherever an interval is missing."""
    better = False
    for metric in metrics:
        found = run.advantage(row, other, single(metric))
        if found is None or found.low is None or found.high is None:
            return False
        if found.low < 1 - margin(metric) or found.high < 1:
            return False  # may be worse; or is shown to be, if only by less than the margin
        better = better or found.low > 1
    return better


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
    run = run or Differences(rows)
    known = [r for r in rows if all(round_values(r, m) for m in metrics)]

    def beats(row: SummaryRow, other: SummaryRow) -> bool:
        return row is not other and dominates(row, other, metrics, run)

    kept = list(known)
    for row in known:  # against those that are left, so that not all can go in a circle
        if any(beats(other, row) for other in kept):
            kept.remove(row)
    dominated = {
        row.point: next(o.point for o in (*kept, *known) if beats(o, row))
        for row in known
        if row not in kept
    }
    return Front(tuple(metrics), tuple(kept), dominated, any(r.rounds > 1 for r in known))


def trade_off_metrics(rows: Sequence[SummaryRow], percentile: str) -> tuple[str, ...]:
    """Throughput, latency at the percentile (`mean` for the mean), and the memory that is scarce:
    the GPU's where any was measured, else the host's where it was.
    """
    latency = latency_name(percentile)
    for memory in ("gpu_memory_mib", "host_memory_mib"):
        if any(r.value(memory) for r in rows):
            return "throughput", latency, memory
    return "throughput", latency
