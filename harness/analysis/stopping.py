"""When a point has been measured often enough: by the width of its intervals, never by the result.

Two stages (C. Stein, Annals of Mathematical Statistics 16, 1945): the scatter of the first rounds
says how many are needed, (t · s / target)², and stays that of the interval, with its degrees of
freedom, however many rounds are added. So the interval holds the truth as often as it says: were
the scatter estimated anew after each round, rounds would end where it happens to look small. The
coverage is simulated in benchmarks/stopping.py. It rests on rounds that do not depend on their
neighbours, so where they do, that is said (`correlated`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from scipy import special

from harness.analysis.summary import SummaryRow
from harness.scenario.metrics import PRIMARY

HalfWidths = Mapping[str, float]
"""Primary metric (`throughput`, `p50`, `p99`) → half-width of its log interval that is narrow
enough, e.g. 0.01 for ±1 %."""
FEWEST = 6
"""Rounds from which a correlation of neighbours can be shown."""
ALARMS = 0.02
"""Share of points whose rounds are independent and are called correlated all the same, a metric."""


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
    """Judge one point. A percentile that is n/a or infinite sets no target: rounds don't help.

    Nor does the throughput of an open loop, which is the schedule's and not the server's.
    """
    intervals = {key: row.value(metric.name) for key, metric in PRIMARY.items()}
    halves = {key: i.half_width if i is not None else None for key, i in intervals.items()}
    ratios = {
        key: (math.inf if (half := halves[key]) is None else half) / targets[key]
        for key, interval in intervals.items()
        if interval is not None and 0 < interval.value < math.inf
        and (key != "throughput" or row.concurrency is not None)
    }  # fmt: skip
    metric = max(ratios, key=lambda key: ratios[key], default="")
    return Width(row.point, row.rounds, ratios.get(metric, 0.0), metric, halves)


def correlated(row: SummaryRow) -> tuple[str, ...]:
    """The primary metrics whose neighbouring rounds are shown to be alike (a drift, a slow cycle).

    Then rounds say less than as many independent ones, and the intervals are too narrow.
    """
    found = {key: row.per_round(metric.name) for key, metric in PRIMARY.items()}
    return tuple(key for key, values in found.items() if _alike(values))


def _alike(values: Sequence[float]) -> bool:
    """Von Neumann's ratio of the logs, one-sided: the mean square of successive differences over
    twice the variance, which is 1 for independent rounds and less for correlated ones. Its scatter
    is that of L. C. Young, Annals of Mathematical Statistics 12 (1941): (n − 2) / (n² − 1).
    """
    n = len(values)
    if n < FEWEST or not all(0 < v < math.inf for v in values):
        return False
    logs = [math.log(v) for v in values]
    mean = math.fsum(logs) / n
    squares = math.fsum((x - mean) ** 2 for x in logs)
    steps = math.fsum((b - a) ** 2 for a, b in pairwise(logs))
    score = (1 - steps / (2 * squares)) / math.sqrt((n - 2) / (n**2 - 1)) if squares > 0 else 0.0
    return score > float(special.ndtri(1 - ALARMS))
