"""Exact percentiles of raw latencies, with failures as +∞, and their order-statistic intervals.

A percentile is the nearest rank: the smallest latency with at least ⌈q·n⌉ of all n requests at or
below it, the inverse of the empirical distribution function. Source: R. J. Hyndman and Y. Fan,
Sample Quantiles in Statistical Packages, The American Statistician 50 (1996), definition 1.

Functions named `percentile` and `order_statistic_interval` work in nanoseconds on the sorted
latencies of the requests that succeeded; the plural ones take raw arrays and answer in ms.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

NS_PER_MS = 1e6

QUANTILES: dict[str, Fraction] = {
    "p50": Fraction(1, 2),
    "p90": Fraction(9, 10),
    "p95": Fraction(19, 20),
    "p99": Fraction(99, 100),
    "p999": Fraction(999, 1000),
}
"""Name → quantile, exact, so that ⌈q·n⌉ has no rounding error."""

FLOORS: dict[str, int] = {"p50": 11, "p90": 64, "p95": 130, "p99": 662, "p999": 6636}
"""Name → fewest requests it is given for; below, it is None.

The least n for which, with 99 % confidence, at least two of n requests lie above the true
quantile: P(Bin(n, 1−q) ≤ 1) ≤ 0.01. Source: MLPerf Inference rules, early stopping.
"""


def percentile(latencies_sorted: NDArray[np.int64], failures: int, q: Fraction | float) -> float:
    """Nearest-rank quantile in ns of ascending latencies, shape (ok,), and `failures` at +∞.

    `inf` where the rank falls among the failures. Raises ValueError without requests, or when q
    is not in (0, 1].
    """
    return _at_rank(latencies_sorted, _rank(q, len(latencies_sorted) + failures))


def _rank(q: Fraction | float, n: int) -> int:
    """⌈q·n⌉ for the decimal that q is written as: 0.07 means 7/100, not the float next to it."""
    exact = q if isinstance(q, Fraction) else Fraction(str(q))
    if n < 1 or not 0 < exact <= 1:
        raise ValueError(f"no quantile {q} of {n} requests")
    return math.ceil(exact * n)


def _at_rank(latencies_sorted: NDArray[np.int64], rank: int) -> float:
    """The rank-th smallest (from 1) of all requests: +∞ beyond the latencies."""
    return float(latencies_sorted[rank - 1]) if rank <= len(latencies_sorted) else math.inf


def binomial_quantile(share: float, n: int, p: float) -> int:
    """The fewest successes of n, each of chance p, that at least `share` of all trials stay within.

    As `scipy.stats.binom.ppf`, whose import takes a second.
    """
    from scipy import special  # here: a worker, which may lack it, takes percentiles too

    found = math.ceil(special.bdtrik(share, n, p))
    fewer = max(found - 1, 0)
    return fewer if special.bdtr(fewer, n, p) >= share else found


def order_statistic_interval(
    latencies_sorted: NDArray[np.int64], n: int, q: Fraction | float, level: float = 0.95
) -> tuple[float, float] | None:
    """Distribution-free interval for the q-quantile in ns, from ascending latencies of n requests.

    The ranks are exact binomial ones with equal tails, so that coverage is at least `level` for
    independent requests; n − len(latencies_sorted) failures count as +∞. None where n is too
    small for either rank. Source: H. A. David and H. N. Nagaraja, Order Statistics (2003), 7.1.
    """
    tail = (1 - level) / 2
    low, high = binomial_quantile(tail, n, float(q)), binomial_quantile(1 - tail, n, float(q)) + 1
    if low < 1 or high > n:
        return None
    return _at_rank(latencies_sorted, low), _at_rank(latencies_sorted, high)


def percentiles(
    latency_ns: NDArray[np.int64], failed: NDArray[np.bool_]
) -> dict[str, float | None]:
    """Every percentile of `QUANTILES` in ms, from raw arrays of shape (requests,).

    None below the percentile's floor; `inf` where it falls among the failures.
    """
    ok, n = _sorted_ok(latency_ns, failed), len(latency_ns)
    return {
        name: percentile(ok, n - len(ok), q) / NS_PER_MS if n >= FLOORS[name] else None
        for name, q in QUANTILES.items()
    }


def order_statistic_intervals(
    latency_ns: NDArray[np.int64], failed: NDArray[np.bool_], level: float = 0.95
) -> dict[str, tuple[float, float] | None]:
    """The interval of every percentile in ms; None below the percentile's floor."""
    ok, n = _sorted_ok(latency_ns, failed), len(latency_ns)
    intervals: dict[str, tuple[float, float] | None] = {}
    for name, q in QUANTILES.items():
        found = order_statistic_interval(ok, n, q, level) if n >= FLOORS[name] else None
        intervals[name] = (found[0] / NS_PER_MS, found[1] / NS_PER_MS) if found else None
    return intervals


def _sorted_ok(latency_ns: NDArray[np.int64], failed: NDArray[np.bool_]) -> NDArray[np.int64]:
    if latency_ns.shape != failed.shape or latency_ns.ndim != 1:
        raise ValueError(f"shapes differ: {latency_ns.shape} latencies, {failed.shape} failures")
    return np.sort(latency_ns[~failed])
