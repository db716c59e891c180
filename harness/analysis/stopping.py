"""When a point has been measured often enough: by the width of its intervals, never by the result.

Rounds are added while an interval is wider than its target and the budget lasts; the widest points
come first. Looking at widths alone does not bias the values (a fixed-width sequential interval:
Y. S. Chow & H. Robbins, Annals of Mathematical Statistics 36, 1965).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow


@dataclass(frozen=True, slots=True)
class Targets:
    """Half-widths of the log interval that count as narrow enough, e.g. 0.01 for ±1 %."""

    throughput: float = 0.01
    p50: float = 0.01
    p99: float = 0.05


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


def width(row: SummaryRow, targets: Targets) -> Width:
    """Judge one point. A percentile that is n/a or infinite sets no target: rounds don't help."""
    wanted: dict[str, tuple[Interval | None, float]] = {
        "throughput": (row.throughput, targets.throughput),
        "p50": (row.latency_ms.get("p50"), targets.p50),
        "p99": (row.latency_ms.get("p99"), targets.p99),
    }
    halves = {name: _half(interval) for name, (interval, _) in wanted.items()}
    ratios = {
        name: (math.inf if half is None else half) / wanted[name][1]
        for name, half in halves.items()
        if _can_narrow(wanted[name][0])
    }
    metric = max(ratios, key=lambda name: ratios[name], default="")
    return Width(row.point, row.rounds, ratios.get(metric, 0.0), metric, halves)


def _half(interval: Interval | None) -> float | None:
    return interval.half_width if interval is not None else None


def _can_narrow(interval: Interval | None) -> bool:
    return interval is not None and 0 < interval.value < math.inf


def widest_first(rows: Iterable[SummaryRow], targets: Targets) -> list[Width]:
    """The points that are not narrow enough yet, widest first."""
    widths = [width(row, targets) for row in rows]
    return sorted((w for w in widths if w.worst > 1), key=lambda w: -w.worst)
