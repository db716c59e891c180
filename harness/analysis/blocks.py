"""Comparing the points of one run: rounds are blocks, and points lend one another their variance.

All points of a round share its luck (a cooler GPU, a quieter host), so a difference is taken within
rounds: from the logs the round's effect is removed by a two-way fit. With three rounds a point
knows little of its own scatter; all points together know how scatters are distributed, and each
point's variance is drawn towards that: s² → (d0·s0² + d·s²) / (d0 + d), with a Student t of d + d0
degrees of freedom. Source: G. K. Smyth, Linear models and empirical Bayes methods, Statistical
Applications in Genetics and Molecular Biology 3 (2004), whose moment estimator of d0 and s0 is
`prior`. The error rates are simulated in benchmarks/block_comparison.py.

This is for differences. The interval of one point's own value keeps its own t over its own rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import Interval, log_t_interval, t_quantile

FEWEST_POINTS = 3
"""Points with two rounds or more, below which they know too little of one another."""
SWEEPS = 100
TOLERANCE = 1e-12
NO_SCATTER = 1e-8
"""A smaller error is one of arithmetic: the rounds of all points are equal."""
FLOOR = 1e-18
"""Variance of a point whose rounds are all equal, where those of the others are too: a scatter of
1e-9."""
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prior:
    """What the points of a run say together about a point's variance."""

    freedom: float
    """d0: how many rounds' worth it is; at most the number of points, which may be few."""
    variance: float
    """s0², of the log of one round's value."""


def prior(variances: Float64, freedoms: Float64) -> Prior:
    """d0 and s0² by the moments of log s², which is shifted by digamma and spread by trigamma.

    `variances` and `freedoms` have the shape (points,); at least two points.
    """
    floor = max(1e-6 * float(np.median(variances)), FLOOR)  # of a point whose rounds are equal
    logs = np.log(np.maximum(variances, floor)) - special.digamma(freedoms / 2)
    logs += np.log(freedoms / 2)
    mean = float(logs.mean())
    caution = 1 + 1 / len(logs)  # few points seldom show the whole spread
    spread = caution * float(logs.var(ddof=1))
    spread -= float(special.polygamma(1, freedoms / 2).mean())
    most = len(variances) / 2
    half = min(_inverse_trigamma(spread), most) if spread > 0 else most
    return Prior(2 * half, math.exp(mean + float(special.digamma(half)) - math.log(half)))


def _inverse_trigamma(value: float) -> float:
    """Newton's method on 1/trigamma, which is nearly a straight line (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(SWEEPS):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if abs(step) < TOLERANCE * x:
            break
    return x


Values = Mapping[str, Mapping[int, float]]
"""Point → round → value; positive and finite."""


class Blocks:
    """The points of one run in one metric, ready to be compared with one another."""

    def __init__(self, values: Values) -> None:
        """Raises ValueError for a value that is not positive and finite."""
        self.points = tuple(point for point, rounds in values.items() if rounds)
        self._rounds = sorted({r for rounds in values.values() for r in rounds})
        self._row = {point: i for i, point in enumerate(self.points)}
        table = [[values[p].get(r, math.nan) for r in self._rounds] for p in self.points]
        known = np.array(table, np.float64).reshape(len(self.points), len(self._rounds))
        self._there = ~np.isnan(known)
        if not ((known > 0) & np.isfinite(known))[self._there].all():
            raise ValueError("not all values are positive and finite")
        self._logs = np.where(self._there, np.log(np.where(self._there, known, 1.0)), 0.0)
        self._count = self._there.sum(axis=1)

    @cached_property
    def _fit(self) -> tuple[Float64, Float64]:
        """Level of each point and effect of each round, by least squares in turns."""
        level = self._logs.sum(axis=1) / np.maximum(self._count, 1)
        effect = np.zeros(len(self._rounds))
        replicated = self._there & (self._count > 1)[:, None]
        points = np.maximum(replicated.sum(axis=0), 1)
        for _ in range(SWEEPS):
            rest = np.where(replicated, self._logs - level[:, None], 0.0)
            new = rest.sum(axis=0) / points
            new -= new.mean() if len(new) else 0.0
            moved = abs(new - effect).max(initial=0.0)
            effect = new
            rest = np.where(self._there, self._logs - effect, 0.0)
            level = rest.sum(axis=1) / np.maximum(self._count, 1)
            if moved < TOLERANCE:
                break
        return level, effect

    @cached_property
    def _variances(self) -> tuple[Float64, float]:
        """Variance of a round's log of each point, drawn towards the run's; its freedom."""
        level, effect = self._fit
        rest = np.where(self._there, self._logs - level[:, None] - effect, 0.0)
        replicated = self._count > 1
        share = 1 - 1 / max(int(replicated.sum()), 1)  # what the rounds' effects took with them
        freedom = (self._count - 1) * share
        own = (rest**2).sum(axis=1)[replicated] / freedom[replicated]
        found = prior(own, freedom[replicated])
        squares = np.where(replicated, (rest**2).sum(axis=1), 0.0)
        known = np.where(replicated, freedom, 0.0)
        drawn = (found.freedom * found.variance + squares) / (found.freedom + known)
        return drawn, found.freedom + float(freedom[replicated].min())

    @cached_property
    def _typical(self) -> float:
        return float(np.median(self._variances[0]))

    def ratio(self, point: str, other: str, level: float = 0.95) -> Interval | None:
        """How many times `other`'s value `point`'s is; without ends where there is one round.

        None where one of them has no value. Of fewer than three points that were repeated none
        knows anything of the others: then it is the paired t over the rounds that both have.
        """
        if point not in self._row or other not in self._row:
            return None
        a, b = self._row[point], self._row[other]
        levels, _ = self._fit
        difference = float(levels[a] - levels[b])
        rounds = int(min(self._count[a], self._count[b]))
        value = math.exp(difference)
        if rounds < 2:
            return Interval(value, None, None, rounds)
        if int((self._count > 1).sum()) < FEWEST_POINTS:
            both = self._there[a] & self._there[b]
            pairs = np.exp(self._logs[a] - self._logs[b])[both].tolist()
            return log_t_interval(pairs, level) if pairs else Interval(value, None, None, 0)
        variances, freedom = self._variances
        error = math.sqrt(
            variances[a] / self._count[a] + variances[b] / self._count[b] + self._unshared(a, b)
        )
        half = t_quantile((1 + level) / 2, freedom) * error if error > NO_SCATTER else 0.0
        return Interval(value, math.exp(difference - half), math.exp(difference + half), rounds)

    def _unshared(self, a: int, b: int) -> float:
        """Variance from rounds that only one of two points has: the others say what they were."""
        weight = self._there[a] / self._count[a] - self._there[b] / self._count[b]
        points = np.maximum(self._there[self._count > 1].sum(axis=0), 1)
        return self._typical * float((weight**2 / points).sum())
