"""The knee: of points whose objective is about the same, those that do not pay dearly for the rest.

A point is *undercut* by another of about the same value when it needs clearly more (`CLEARLY`) of
some cost, and that one clearly more of none. Costs are tail latency, memory and CPU cores, but for
what the objective names. Where a cost has an interval, that of the ratio must exclude 1 too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis.differences import Differences
from harness.analysis.objective import Objective, single
from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import latency_name

CLEARLY = 1.2
"""How many times as much of a cost is clearly more."""
_TAILS = tuple(map(latency_name, ("p99", "p95", "p90", "p50", "mean")))


def cost_metrics(rows: Sequence[SummaryRow], objective: Objective) -> tuple[str, ...]:
    """What the rows may be compared by: the highest percentile that all have, the memory that is
    scarce (the GPU's where all have it), cores; nothing that the objective names.
    """

    def known(name: str) -> bool:
        found = (row.value(name) for row in rows)
        return all(v is not None and 0 < v.value < math.inf for v in found)

    latency = any(name.startswith("latency_") for name in objective.metrics)
    tail = "" if latency else next(filter(known, _TAILS), "")
    memory = next(filter(known, ("gpu_memory_mib", "host_memory_mib")), "")
    cores = "cpu_cores" if known("cpu_cores") else ""
    return tuple(m for m in (tail, memory, cores) if m and m not in objective.metrics)


def times(row: SummaryRow, other: SummaryRow, metric: str) -> float:
    """How many times as much of a known cost `row` needs."""
    mine, its = row.value(metric), other.value(metric)
    return mine.value / its.value if mine and its else 1.0


def needs_more(row: SummaryRow, other: SummaryRow, metric: str, run: Differences) -> bool:
    """Whether `row` needs clearly more of a cost than `other`."""
    if times(row, other, metric) < CLEARLY:
        return False
    ratio = run.advantage(other, row, single(metric))
    return ratio is None or ratio.low is None or ratio.low > 1


def knees(rows: Sequence[SummaryRow], objective: Objective, run: Differences) -> list[SummaryRow]:
    """Of rows of about the same value, the best first: the first that is not undercut, and those
    that need not clearly more of anything than it.
    """
    metrics = cost_metrics(rows, objective)

    def dearer(row: SummaryRow, other: SummaryRow) -> bool:
        return any(needs_more(row, other, m, run) for m in metrics)

    kept = [
        row for row in rows
        if not any(dearer(row, other) and not dearer(other, row) for other in rows)
    ] or list(rows)  # fmt: skip
    return [row for row in kept if row is kept[0] or not dearer(row, kept[0])]
