"""A value with its interval: of rounds, and of the ratio of two points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy import stats


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; `low` and `high` are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1

    @property
    def reciprocal(self) -> Interval | None:
        """1 over it, the ends swapped; None where the value or an end is not positive."""
        if self.value <= 0 or (self.low is not None and self.low <= 0):
            return None
        low, high = (None if end is None else 1 / end for end in (self.high, self.low))
        return Interval(1 / self.value, low, high, self.rounds)

    @property
    def half_width(self) -> float | None:
        """Half the width of the interval of the log: 0.01 means about ±1 %."""
        if self.low is None or self.high is None or self.low <= 0:
            return None
        return math.log(self.high / self.low) / 2


def log_t_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Geometric mean of positive `values` with the t-interval of their logs.

    One infinite value makes the value and the upper end infinite; with fewer than two values, or
    a zero among them, there is no interval. Raises ValueError on an empty sequence.
    """
    if not values:
        raise ValueError("no values")
    n = len(values)
    if any(math.isinf(v) for v in values):
        return Interval(math.inf, None, None, n)
    if any(v <= 0 for v in values):
        return Interval(sum(values) / n, None, None, n)
    logs = [math.log(v) for v in values]
    mean = math.fsum(logs) / n
    if n < 2:
        return Interval(values[0], None, None, n)
    deviation = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (n - 1))
    half = t_quantile((1 + level) / 2, n - 1) * deviation / math.sqrt(n)
    return Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n)


@lru_cache(maxsize=1024)
def t_quantile(share: float, freedom: float) -> float:
    """Of Student's t."""
    return float(stats.t.ppf(share, freedom))


def ratio_interval(
    numerator: Sequence[float], denominator: Sequence[float], level: float = 0.95
) -> Interval:
    """Ratio of two geometric means with Welch's t-interval on the difference of the logs.

    Source: B. L. Welch, Biometrika 34 (1947), degrees of freedom by Satterthwaite. With fewer than
    two values on a side there is no interval. Raises ValueError when a side is empty or holds a
    value that is not positive and finite: leaving that round out would hide a failure.
    """
    if not numerator or not denominator:
        raise ValueError("no values")
    if not all(0 < v < math.inf for v in (*numerator, *denominator)):
        raise ValueError("not all values are positive and finite")
    a, b = ([math.log(v) for v in side] for side in (numerator, denominator))
    difference = math.fsum(a) / len(a) - math.fsum(b) / len(b)
    rounds = min(len(a), len(b))
    if rounds < 2:
        return Interval(math.exp(difference), None, None, rounds)
    va, vb = (
        math.fsum((x - math.fsum(side) / len(side)) ** 2 for x in side)
        / (len(side) - 1)
        / len(side)
        for side in (a, b)
    )
    if va + vb == 0:
        return Interval(*(math.exp(difference),) * 3, rounds)
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(va + vb)
    return Interval(
        math.exp(difference), math.exp(difference - half), math.exp(difference + half), rounds
    )
