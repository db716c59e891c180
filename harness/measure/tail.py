"""On how many separate slow stretches a tail percentile rests.

The hundredth part of the requests that is slower than p99 seldom comes one by one: a queue that
builds up makes many neighbours slow. What a window knows of its tail is then as little as it has
such stretches, however many requests they hold, and with few of them p99 comes out too low: most
windows have fewer long stretches than the average one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_FEWEST = 3


def extremal_index(positions: NDArray[np.int64], size: int) -> float:
    """θ of the exceedances of a threshold: 1 where they come one by one, 1/k where k at a time.

    `positions`, shape (exceedances,), ascending, are their numbers in the whole series of `size`.
    The gap from the last, over the end, to the first counts too: without it a single stretch would
    look like requests that come one by one. The intervals estimator, which has no parameter:
    C. A. T. Ferro and J. Segers, Inference for clusters of extreme values, Journal of the Royal
    Statistical Society B 65 (2003).
    """
    gaps = np.diff(positions, append=positions[0] + size).astype(np.float64)
    if gaps.max() <= 2:
        found = 2 * gaps.sum() ** 2 / (len(gaps) * (gaps**2).sum())
    else:
        found = 2 * (gaps - 1).sum() ** 2 / (len(gaps) * ((gaps - 1) * (gaps - 2)).sum())
    return float(min(1.0, found))


def episodes(slow: NDArray[np.bool_]) -> float:
    """How many separate stretches the slow requests of a window make; in order of time."""
    places = np.flatnonzero(slow)
    if len(places) < _FEWEST:
        return float(len(places))
    return extremal_index(places, len(slow)) * len(places)
