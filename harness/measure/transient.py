"""Whether the warm-up leaked into the window: its beginning against the rest of it.

A transient that is inside the window hides itself from a comparison of halves, because it inflates
its own error: a first tenth that is three times slower raises p99 by 185 % and passes. Here the
window is cut into equal stretches of time, and the first is held against the others in two ways at
once. It has to be the slowest of all but its own neighbours, which an undisturbed window does in
one of 16 cases however skewed or correlated its latencies are, for its stretches are
exchangeable; and it has to lie far above their median, measured by their own scatter. Twenty
stretches find a leak over a twentieth of the window or more, fifty a shorter one.

Means know little where latencies are correlated: at .9, 4.4 times less than as many independent
ones. But a warm-up has an end, and where it ends latencies fall by more than such noise moves in
one step. So a second look asks for a step (`_step`): by the likelihood ratio of a level that holds
for the first k requests and not after, against first-order autoregression, at the best k. It too
has to be extreme among all places of the window, here by a margin. The error rates of both are
simulated in benchmarks/warm_up_leak.py.

What is too small for one window keeps its sign over rounds: without a leak the first stretch's rank
among all is uniform, so its mean over rounds is known (`leak_over_rounds`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.results.samples import OK, Samples

STRETCHES = (20, 50)
NEIGHBOURS = 4
"""The first 1/4 of the stretches may be slow together: a leak of up to that share is found."""
Z = 4.0
SMALLEST = 0.02
"""A beginning that is slower by less is of no interest."""
FEWEST = 4
"""Requests a stretch, on average, below which nothing is said. With ten no fewer windows without a
leak are flagged, and a leak over 2 % of 200 to 400 requests is found in half of them only."""
LONGEST = 5
"""A step is sought in the first 1/5 of the requests: their share is smaller than that of the time,
for they are slow."""
STEP_Z, MARGIN = 4.5, 1.6
"""A step at the beginning is that many standard errors high, and that many times as high as the
highest pulse behind it. M/D/1 has busy times that end at once: what the margin is for."""
CLIP = 6.0
"""A latency counts as so many standard deviations at most: a hold-up is a request, no level."""
PULSES = 12
"""Lengths of pulses that are looked for behind the beginning."""
MOST_REQUESTS = 20_000
"""With more the stretches find what matters, and a step would take long to look for."""
FEWEST_ROUNDS = 3
OVER_ROUNDS = 0.01
"""Share of the points without a leak that are said to have one over their rounds, at most about."""
_TO_SIGMA = 1.4826
"""From a median absolute deviation to the standard deviation of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Leak:
    """A slow beginning of the window."""

    share: float
    """Of the window, the part that was seen to be slow."""
    slower: float
    """By how much its mean latency exceeds what is usual behind it: 0.2 is 20 %."""


def warm_up_leak(
    done_ns: NDArray[np.int64], latency_ns: NDArray[np.int64], begin_ns: int, end_ns: int
) -> Leak | None:
    """The transient at the window's beginning, None where there is none to be seen.

    `done_ns` and `latency_ns`, both shape (requests,), are the completions inside the window.
    """
    place = (done_ns - begin_ns) / max(end_ns - begin_ns, 1)
    found = (_first_stretch(place, latency_ns, count) for count in STRETCHES)
    leak = next((leak for leak in found if leak is not None), None)
    return leak or _step(place, latency_ns)


def window_leak(samples: Samples, begin_ns: int, end_ns: int) -> Leak | None:
    """The leak in the service times of the successful requests of a window."""
    done, latency = _answered(samples, begin_ns, end_ns)
    return warm_up_leak(done, latency, begin_ns, end_ns)


def window_start(samples: Samples, begin_ns: int, end_ns: int) -> tuple[float, float] | None:
    """The first stretch's rank, from 0 (the fastest) to 1, and by how much it is slower than the
    median one; None with too few requests.
    """
    done, latency = _answered(samples, begin_ns, end_ns)
    place = (done - begin_ns) / max(end_ns - begin_ns, 1)
    mean = _means(place, latency, STRETCHES[0])
    if mean is None:
        return None
    below = float((mean < mean[0]).sum()) + float((mean == mean[0]).sum()) / 2
    return below / len(mean), float(mean[0] / np.median(mean)) - 1


def leak_over_rounds(starts: Sequence[Sequence[float]]) -> float | None:
    """By how much the windows' beginnings are slower, in the mean of the rounds' `window_start`;
    None where that is not shown or of no interest.

    Ranks have mean 1/2 and variance 1/12 without a leak; their mean is taken as normal.
    """
    if len(starts) < FEWEST_ROUNDS:
        return None
    rank, slower = (math.fsum(column) / len(starts) for column in zip(*starts, strict=True))
    z = (rank - 0.5) * math.sqrt(12 * len(starts))
    return slower if z > special.ndtri(1 - OVER_ROUNDS) and slower > SMALLEST else None


def _answered(
    samples: Samples, begin_ns: int, end_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """When the window's successful requests were done, and how long they took."""
    mask = (samples.done > begin_ns) & (samples.done <= end_ns) & (samples.status == OK)
    done = samples.done[mask]
    return done, done - samples.sent[mask]


def _means(
    place: NDArray[np.float64], latency: NDArray[np.int64], count: int
) -> NDArray[np.float64] | None:
    """Mean latency of each stretch that has requests; None where the first has none, or all few."""
    if len(latency) < FEWEST * count:
        return None
    stretch = np.clip((place * count).astype(int), 0, count - 1)
    requests = np.bincount(stretch, minlength=count)
    if requests[0] == 0:
        return None
    total = np.bincount(stretch, latency.astype(float), minlength=count)
    mean: NDArray[np.float64] = total[requests > 0] / requests[requests > 0]
    return mean


def _first_stretch(
    place: NDArray[np.float64], latency: NDArray[np.int64], count: int
) -> Leak | None:
    mean = _means(place, latency, count)
    if mean is None:
        return None
    first, (median, scatter) = float(mean[0]), _usual(mean)
    slowest = float(mean[len(mean) // NEIGHBOURS :].max())
    excess = first - median
    if first > slowest and excess > max(Z * scatter, SMALLEST * median):
        return Leak(1 / count, excess / median)
    return None


def _step(place: NDArray[np.float64], latency: NDArray[np.int64]) -> Leak | None:
    """A level above the rest's that ends within the first 1/`LONGEST` of the requests."""
    if not FEWEST * STRETCHES[0] <= len(latency) <= MOST_REQUESTS:
        return None
    order = np.argsort(place, kind="stable")
    log = np.log(np.maximum(latency[order], 1))
    first = len(log) // LONGEST
    usual, scatter = _usual(log[first:])
    if scatter == 0:
        return None
    pulse = _Pulses(np.clip((log - usual) / scatter, -CLIP, CLIP), first)
    begun = np.arange(1, first + 1)
    heights = pulse.z(np.zeros(first, int), begun)
    count = int(begun[heights.argmax()])
    lengths = np.unique(np.geomspace(1, first, PULSES).astype(int))
    behind = max(pulse.z(np.arange(first, len(log) - k), k).max() for k in lengths)
    slower = float(np.exp(log[:count].mean() - usual)) - 1
    if heights.max() > max(STEP_Z, MARGIN * behind) and slower > SMALLEST:
        return Leak(float(place[order[count - 1]]), slower)
    return None


def _usual(values: NDArray[np.float64]) -> tuple[float, float]:
    """Median, and scatter by the median deviation, the one upwards where that is larger: latencies
    are skewed.
    """
    usual = float(np.median(values))
    off = values - usual
    above = off[off > 0]
    deviation = max(np.median(abs(off)), np.median(above) if len(above) else 0.0)
    return usual, _TO_SIGMA * float(deviation)


class _Pulses:
    """How high a series stands for some requests, in standard errors, if it is AR(1).

    Of a pulse of height h over k values the innovations hold (1 − φ)·h each and −φ·h behind its
    end, and its first value alone, which is not known to follow on one before, (1 − φ²)·h over its
    own variance: generalized least squares. `behind` is where the undisturbed part begins, which
    tells φ and the scatter; φ without the bias of a sample's (M. G. Kendall, Biometrika 41, 1954).
    """

    def __init__(self, value: NDArray[np.float64], behind: int) -> None:
        rest = value[behind:] - value[behind:].mean()
        seen = float((rest[1:] * rest[:-1]).sum() / max((rest**2).sum(), 1e-300))
        shown = seen > 2 / np.sqrt(len(rest))
        self._phi = min(seen + (1 + 4 * seen) / len(rest), 0.98) if shown else 0.0
        self._value = value
        self._new = value - self._phi * np.r_[0.0, value[:-1]]
        self._new[0] = 0.0
        self._sum = np.cumsum(self._new)
        self._error = max(float(self._new[behind + 1 :].std()), 1e-300)

    def z(self, begin: NDArray[np.int64], count: NDArray[np.int64] | int) -> NDArray[np.float64]:
        """Of pulses over `count` values from each place in `begin`, of a series that goes on."""
        alone, rest, last = 1 - self._phi**2, 1 - self._phi, begin + count
        height = (
            alone * self._value[begin] + rest * (self._sum[last - 1] - self._sum[begin])
            - self._phi * self._new[last]
        )  # fmt: skip
        size = np.sqrt(alone + (np.asarray(count) - 1) * rest**2 + self._phi**2)
        return np.asarray(height / (self._error * size), np.float64)
