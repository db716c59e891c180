"""A latency percentile over rounds: the quantile of the requests of all of them.

The geometric mean of the rounds' percentiles lies too low where few windows see the slow stretches
that make the tail. The half-width is the larger of two: the t over rounds, which knows how rounds
differ, and a delete-one-block jackknife over five stretches a round, which knows the stretches
within them. How often it holds the truth: benchmarks/tails.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import Interval, log_t_interval, t_quantile
from harness.measure.distribution import Pooled
from harness.measure.quantiles import NS_PER_MS, QUANTILES
from harness.results.details import LatencyCounts

LEVEL, TAIL = 0.95, 0.025
FEW_EPISODES, PLAIN_EPISODES = 16.0, 40.0
"""Slow stretches over all rounds below which a percentile is a lower bound only, and from which on
nothing need be said."""
CLUSTERED = 0.5
"""Extremal index below which slow requests come together: two or more at a time."""
SLOW = {name: float(1 - q) for name, q in QUANTILES.items()}
"""Of each percentile the share of the requests that are slower."""
GROWTH = 1.5
"""How much longer than the last a window may become."""


def pooled(counts: Sequence[LatencyCounts]) -> Pooled:
    """The windows of all rounds."""
    return Pooled.of(tuple((c["first"], c["counts"], tuple(c["failed"])) for c in counts))


def percentile_over_rounds(
    percentile: str, values_ms: Sequence[float], counts: Sequence[LatencyCounts]
) -> Interval:
    """The percentile of all requests. `values_ms` are the rounds' own, between which it lies; with
    one round it is that one, without an interval.
    """
    rounds, q = len(values_ms), float(QUANTILES[percentile])
    found = pooled(counts)
    value = min(max(float(found.quantiles_ns(q)[0]) / NS_PER_MS, min(values_ms)), max(values_ms))
    if rounds < 2 or not 0 < value < math.inf:
        return Interval(value, None, None, rounds)
    half = half_width(percentile, values_ms, counts)
    if math.isinf(half):  # failures reach the percentile in some of the rounds
        return Interval(value, None, None, rounds)
    few = bound_only(percentile, counts)
    high = None if few else value * math.exp(half)
    return Interval(value, value * math.exp(-half), high, rounds, at_least=few)


def half_width(
    percentile: str, values_ms: Sequence[float], counts: Sequence[LatencyCounts]
) -> float:
    """Of the log, the larger of the two; infinite where failures reach the percentile.

    Source of the jackknife: J. W. Tukey, Annals of Mathematical Statistics 29 (1958).
    """
    over_rounds = log_t_interval(values_ms).half_width
    left_out = pooled(counts).quantiles_ns(float(QUANTILES[percentile]))[1:]
    if over_rounds is None or np.isinf(left_out).any():
        return math.inf
    logs, n = np.log(left_out), len(left_out)
    jackknife = t_quantile((1 + LEVEL) / 2, n - 1) * (n - 1) * _deviation(logs, n)
    return max(over_rounds, jackknife / math.sqrt(n - 1))


def _deviation(values: NDArray[np.float64], freedom: int) -> float:
    """As `numpy.std`, which takes four times as long for a few values."""
    rest = values - values.sum() / len(values)
    return math.sqrt((rest * rest).sum() / freedom)


def episodes_over_rounds(percentile: str, counts: Sequence[LatencyCounts]) -> float | None:
    """Separate slow stretches above the percentile, over all rounds; None where one lacks it."""
    known = [e for c in counts if (e := c["episodes"].get(percentile)) is not None]
    return math.fsum(known) if known and len(known) == len(counts) else None


def bound_only(percentile: str, counts: Sequence[LatencyCounts]) -> bool:
    """Whether the slow stretches of all rounds show a lower bound only: fewer than 16, or fewer
    than 40 that hold two slow requests or more each, as near a queue's limit. There an interval
    of 16 to 40 of them held the truth in 50 to 87 % (benchmarks/tails.py).
    """
    found = episodes_over_rounds(percentile, counts) or 0.0
    slow = SLOW[percentile] * int(pooled(counts).counts.sum())
    return found < FEW_EPISODES or found < min(PLAIN_EPISODES, CLUSTERED * slow)


@dataclass(frozen=True, slots=True)
class Share:
    """Of all requests, those beyond a latency limit: failed, or slower."""

    value: float
    low: float
    high: float
    """Ends of the 95 % interval."""
    allowed: float
    """What the percentile allows: 0.01 for p99."""

    needed: float
    """How many times as many requests would put the interval on one side of `allowed`."""


def share_beyond(percentile: str, counts: Sequence[LatencyCounts], limit_ms: float) -> Share:
    """The share beyond `limit_ms`, with a bound that respects stretches and rounds.

    Exact binomial ends (C. J. Clopper and E. S. Pearson, Biometrika 26, 1934) of as many requests
    as the tail is worth: slow ones come in stretches of geometric length 1/θ, θ the extremal index
    at the percentile, so n of them count as n·θ / (2 − θ). Where rounds differ by more, their
    t-interval is wider, and taken. Where slow requests come together and make few stretches, only
    none beyond the limit shows that it holds. How often that is wrong: benchmarks/tails.py.
    """
    allowed = 1 - float(QUANTILES[percentile])
    sure, maybe, total = (part.reshape(len(counts), -1).sum(1) for part in
                          pooled(counts).beyond(limit_ms))  # fmt: skip
    n, worth, few, found = int(total.sum()), 1.0, False, None
    for name in [percentile, *reversed(QUANTILES)]:  # a window may be too short for its own
        if (found := episodes_over_rounds(name, counts)) is not None:
            theta = min(1.0, found / (SLOW[name] * n))
            worth, few = theta / (2 - theta), theta < CLUSTERED and found < PLAIN_EPISODES
            break
    low, high = 0.0, 1.0
    if k := int(sure.sum()) * worth:
        low = float(special.betaincinv(k, n * worth - k + 1, TAIL))
    if (k := int(maybe.sum()) * worth) < n * worth:
        high = float(special.betaincinv(k + 1, n * worth - k, 1 - TAIL))
    if len(counts) > 1:
        t = t_quantile(1 - TAIL, len(counts) - 1) / math.sqrt(len(counts))
        shares = maybe / total
        half = t * _deviation(shares, len(counts) - 1)
        low = min(low, max(0.0, float((sure / total).mean()) - half))
        high = max(high, float(shares.mean()) + half)
    value, needed = int(maybe.sum()) / n, math.inf
    if gap := allowed - value:
        needed = (((high if gap > 0 else low) - value) / gap) ** (2 if value else 1)
    if few and found and (value or found < FEW_EPISODES):
        high, needed = 1.0, PLAIN_EPISODES / found
    return Share(value, low, high, allowed, needed)


def window_for_p99(
    counts: Sequence[LatencyCounts], seconds: Sequence[float], rounds: int
) -> float | None:
    """Seconds that a window must last for `rounds` of them to hold the slow stretches that p99
    needs, at the pace of the windows there are, of `seconds`. None where that is not known.
    """
    found = episodes_over_rounds("p99", counts)
    return PLAIN_EPISODES * math.fsum(seconds) / (found * rounds) if found else None


def next_window(
    counts: Sequence[LatencyCounts], seconds: Sequence[float], rounds: int, most: float
) -> float | None:
    """How long the next of `rounds` windows should be, where what is still to come would not give
    p99 its slow stretches: longer by half at most, and never above `most`. Else None.
    """
    found, left = episodes_over_rounds("p99", counts), rounds - len(counts)
    if not found or left < 1:
        return None
    needed = (PLAIN_EPISODES - found) / left * math.fsum(seconds) / found
    longer = min(needed, GROWTH * seconds[-1], most)
    return longer if longer > seconds[-1] else None
