"""Whether the level that moved within a point's windows moved in one direction.

A warm-up that is not over or a card that grows warm moves the level the same way in every round,
and all rounds are wrong alike. A machine that wanders moves it up in one and down in another: that
is between the rounds too, and so in their interval. Error rates: benchmarks/steady_state.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.analysis.intervals import t_quantile
from harness.measure.distribution import stretch_means_ns
from harness.results.rows import MeasurementRow

ALIKE = 0.2
"""Share of the points that only wander of which the t-test says that they moved one way."""


def shift(means: NDArray[np.float64]) -> float:
    """Relative change of the mean latency from a window's first half to its second: that of a
    straight line through the means of its stretches, in order, shape (stretches,).
    """
    steps = np.arange(len(means)) - (len(means) - 1) / 2
    return float(steps @ means / (steps @ steps) * len(means) / 2 / means.mean())


def one_way(shifts: Sequence[float]) -> bool:
    """Whether rounds moved one way: all of them, or in their mean by a t-test at `ALIKE`. Of one
    round nothing else can be said.
    """
    count = len(shifts)
    if len({s > 0 for s in shifts}) < 2:
        return True
    error = float(np.std(shifts, ddof=1)) / math.sqrt(count)
    return abs(math.fsum(shifts) / count) > t_quantile(1 - ALIKE / 2, count - 1) * error


def moved_one_way(rows: Sequence[MeasurementRow]) -> bool:
    """Whether a point's rounds did; True where it is not known. Rows of two backends in turns are
    judged by their ratio, whose direction is in no row.
    """
    known = [r.details["latency_counts"] for r in rows
             if "latency_counts" in r.details and "turns" not in r.details]  # fmt: skip
    return len(known) < len(rows) or one_way([shift(stretch_means_ns(c)) for c in known])
