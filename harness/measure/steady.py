"""Steady state: where the transient ends (MSER-5), and whether a shift remains after it.

MSER-5: K. P. White, "An effective truncation heuristic for bias reduction in simulation output",
Simulation 69 (1997); batches of five: White, Cobb & Spratt, WSC 2000.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.results.samples import OK, Samples

BATCH = 5
SHIFT = 0.02
"""A level that moved by more than this between the halves of the window is no steady state."""
FEWEST = 40
"""Batches below which nothing is said: noise alone would put the cut at its bound too often."""
SHORTEST_S = 1.0
"""A shorter window is not judged: what moves within it is the machine, and shows between rounds."""
SHIFT_Z = 3.0
"""Standard errors that the shift must measure, so that noise raises no alarm."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """What the series says about itself."""

    truncation: int
    """Requests that MSER-5 would cut from the front."""
    at_bound: bool
    """The best cut is the latest that was allowed: the transient may not be over."""
    shift: float | None
    """Relative change of the mean from the first half to the second; None with few requests."""
    shift_error: float | None
    """Its standard error."""

    @property
    def steady(self) -> bool:
        """False only where the data show otherwise."""
        if self.shift is None or self.shift_error is None:
            return True
        shifted = abs(self.shift) > max(SHIFT, SHIFT_Z * self.shift_error)
        return not (self.at_bound or shifted)


NOT_JUDGED = Steadiness(0, False, None, None)


def mser(values: NDArray[np.float64]) -> tuple[int, bool]:
    """`d* = argmin_{d ≤ m/2} Σ_{j>d}(Z_j − Z̄_d)² / (m−d)²` and whether it sits at its bound.

    `values` are batch means, shape (m,). Computed for all d at once from cumulative sums.
    """
    m = len(values)
    bound = m // 2
    centred = values - values.mean()  # keeps the cumulative sums of squares accurate
    left = m - np.arange(bound + 1)
    total = np.cumsum(centred[::-1])[::-1][: bound + 1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1][: bound + 1]
    objective = (squares - total**2 / left) / left.astype(float) ** 2
    best = int(np.argmin(objective))
    return best, best >= bound


def steadiness(latency_ns: NDArray[np.int64]) -> Steadiness:
    """Judge a series of latencies, in order of completion, shape (requests,)."""
    m = len(latency_ns) // BATCH
    if m < FEWEST:
        return NOT_JUDGED
    batches = latency_ns[: m * BATCH].reshape(m, BATCH).mean(axis=1)
    cut, at_bound = mser(batches)
    first, second = batches[: m // 2], batches[m // 2 :]
    mean = max(float(batches.mean()), 1.0)
    shift = float(second.mean() - first.mean()) / mean
    error = math.sqrt(_variance_of_mean(first) + _variance_of_mean(second)) / mean
    return Steadiness(cut * BATCH, at_bound, shift, error)


def _variance_of_mean(values: NDArray[np.float64]) -> float:
    """Variance of the mean of a correlated series, by non-overlapping batch means.

    Source: A. M. Law, Simulation Modeling and Analysis, 5th ed., §9.5.3, with ten batches. A
    straight line is taken out first, so that the drift we look for does not hide itself.
    """
    size = len(values) // 10
    means = values[: 10 * size].reshape(10, size).mean(axis=1)
    x = np.arange(10) - 4.5
    slope = float(x @ means) / float(x @ x)
    residual = means - means.mean() - slope * x
    return float(residual @ residual) / 8 / 10


def window_steadiness(samples: Samples, begin_ns: int, end_ns: int) -> Steadiness:
    """Steadiness of the service times of the successful requests in a window."""
    if end_ns - begin_ns < SHORTEST_S * 1e9:
        return NOT_JUDGED
    mask = (samples.done > begin_ns) & (samples.done <= end_ns) & (samples.status == OK)
    return steadiness(samples.done[mask] - samples.sent[mask])
