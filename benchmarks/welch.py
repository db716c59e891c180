"""The ratio of two points by Welch's t, which knows nothing of rounds: what blocks are held
against, and how runs of two tools are compared.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.analysis.intervals import Interval, t_quantile


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
