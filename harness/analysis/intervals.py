"""A value with its interval over rounds."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from scipy import special


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its 95 % interval; `low` and `high` are None where there is none."""

    value: float
    low: float | None = None
    high: float | None = None
    rounds: int = 1
    at_least: bool = False
    """Whether only `low` is known: too few slow stretches were seen to say more of a tail."""

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


def log_t_interval(
    values: Sequence[float], level: float = 0.95, first: int | None = None
) -> Interval:
    """Geometric mean of positive `values` with the t-interval of their logs.

    The scatter is that of the `first` values (at least two, else of all): where it decided how many
    more there are, only they say what it is. C. Stein, Annals of Mathematical Statistics 16 (1945).
    One infinite value makes the value and the upper end infinite; with fewer than two values, or
    a zero among them, there is no interval. Raises ValueError on an empty sequence.
    """
    if not values:
        raise ValueError("no values")
    n = len(values)
    if any(map(math.isinf, values)):
        return Interval(math.inf, None, None, n)
    if any(v <= 0 for v in values):
        return Interval(sum(values) / n, None, None, n)
    logs = list(map(math.log, values))
    mean = math.fsum(logs) / n
    if n < 2:
        return Interval(values[0], None, None, n)
    seen = logs[:first] if first is not None and first > 1 else logs
    center = math.fsum(seen) / len(seen)
    deviation = math.sqrt(math.fsum((x - center) ** 2 for x in seen) / (len(seen) - 1))
    half = t_quantile((1 + level) / 2, len(seen) - 1) * deviation / math.sqrt(n)
    value, low, high = (math.exp(min(x, _LARGEST)) for x in (mean, mean - half, mean + half))
    return Interval(value, low, high, n)


_LARGEST = math.log(sys.float_info.max)
"""What lies beyond is said as the largest number that there is."""


@lru_cache(maxsize=1024)
def t_quantile(share: float, freedom: float) -> float:
    """Of Student's t."""
    return float(special.stdtrit(freedom, share))
