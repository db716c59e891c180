"""When a point has been measured often enough: by the width of its intervals, never by the result.

Rounds are added while an interval is wider than its target and the budget lasts; the widest points
come first. Looking at widths alone does not bias the values (a fixed-width sequential interval:
Y. S. Chow & H. Robbins, Annals of Mathematical Statistics 36, 1965).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import PRIMARY

HalfWidths = Mapping[str, float]
"""Primary metric (`throughput`, `p50`, `p99`) → half-width of its log interval that is narrow
enough, e.g. 0.01 for ±1 %."""


@dataclass(frozen=True, slots=True)
class Width:
    """How wide a point's intervals are, relative to their targets."""

    point: str
    rounds: int
    worst: float
    """The largest half-width ÷ target; 1 or less is narrow enough, inf where there is none yet."""
    metric: str
    """The metric that is `worst`."""
    half_widths: Mapping[str, float | None]


def width(row: SummaryRow, targets: HalfWidths) -> Width:
    """Judge one point. A percentile that is n/a or infinite sets no target: rounds don't help."""
    intervals = {key: row.value(metric.name) for key, metric in PRIMARY.items()}
    halves = {key: i.half_width if i is not None else None for key, i in intervals.items()}
    ratios = {
        key: (math.inf if (half := halves[key]) is None else half) / targets[key]
        for key, interval in intervals.items()
        if interval is not None and 0 < interval.value < math.inf
    }
    metric = max(ratios, key=lambda key: ratios[key], default="")
    return Width(row.point, row.rounds, ratios.get(metric, 0.0), metric, halves)


def widest_first(rows: Iterable[SummaryRow], targets: HalfWidths) -> list[Width]:
    """The points that are not narrow enough yet, widest first."""
    widths = [width(row, targets) for row in rows]
    return sorted((w for w in widths if w.worst > 1), key=lambda w: -w.worst)
