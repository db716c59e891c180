"""On how many separate slow stretches a tail percentile rests.

The hundredth part of the requests that is slower than p99 seldom comes one by one: a queue that
builds up makes many neighbours slow. What a window knows of its tail is then as little as it has
such stretches, however many requests they hold, and with few of them p99 comes out too low: most
windows have fewer long stretches than the average one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from harness.measure.reduce import in_window
from harness.measure.validity import Finding
from harness.results.samples import OK, Samples

FEW_EPISODES = 8.0
CLUSTERED = 0.5
"""Extremal index up to which slow requests count as coming together: two or more at a time."""
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


def check_tail(
    samples: Samples, begin_ns: int, end_ns: int, open_loop: bool, p99_ms: float | None
) -> Iterator[Finding]:
    """Whether the window's p99 rests on few slow stretches. None or infinite: nothing is said."""
    if p99_ms is None or not np.isfinite(p99_ms):
        return
    mask = in_window(samples, begin_ns, end_ns, open_loop)
    moment = (samples.scheduled if open_loop else samples.done)[mask]
    order = np.argsort(moment, kind="stable")
    latency = (samples.done[mask] - samples.scheduled[mask])[order]
    failed = (samples.status[mask] != OK)[order]
    slow = np.flatnonzero((latency > round(p99_ms * 1e6)) | failed)
    if len(slow) < _FEWEST:
        return
    index = extremal_index(slow, len(latency))
    if index <= CLUSTERED and index * len(slow) < FEW_EPISODES:
        yield Finding(
            "few_tail_episodes",
            f"the {len(slow)} requests above p99 came in about {index * len(slow):.0f} slow "
            "stretches",
        )
