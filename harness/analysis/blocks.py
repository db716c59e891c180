"""Comparing the points of one run: rounds are blocks, and points lend one another their variance.

All points of a round share its luck (a cooler GPU, a quieter host), so a difference is taken within
rounds: from the logs the round's effect is removed by a two-way fit, in which quiet points count
for more. With three rounds a point knows little of its own scatter; all points together know how
scatters are distributed. Their variances are taken to be log-normal: log s² of d degrees of freedom
lies around log σ² + digamma(d/2) − log(d/2) with a variance of trigamma(d/2), and what the points'
log s² vary beyond that is the spread of their true variances. So each point's log variance is drawn
towards the mean of all by the weight of normal shrinkage, and keeps a variance of its own; a pair's
follows by the delta method, to the second order, and its Student t has the freedom whose
trigamma(f/2) is that variance. (G. K. Smyth, Statistical Applications in Genetics and Molecular
Biology 3 (2004), has the moments of log s² and an inverse chi-square prior, which lifts quiet
points more: its weights are the same for a quiet and for a noisy point on the scale of s².) The
error rates are simulated in benchmarks/block_comparison.py.

This is for differences. The interval of one point's own value keeps its own t over its own rounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import Interval, log_t_interval

FEWEST_POINTS = 3
"""Points with two rounds or more, below which they know too little of one another."""
SWEEPS = 100
TOLERANCE = 1e-12
CAUTION = 3.0
"""Few points seldom show the whole spread of their scatters, least by few rounds: it is taken to be
larger by this share over points and degrees of freedom. Tuned by simulation."""
MOST_WEIGHT = 0.5
"""Of one point in the effect of a round: of what a point says alone nothing is left to judge it by.
"""
NO_SCATTER = 1e-8
"""A smaller error is one of arithmetic: the rounds of all points are equal."""
FLOOR = 1e-18
"""Variance of a point whose rounds are all equal, where those of the others are too: a scatter of
1e-9."""
Float64 = NDArray[np.float64]
Places = NDArray[np.intp]


def drawn(variances: Float64, freedoms: Float64) -> tuple[Float64, Float64]:
    """Log of each point's variance, drawn towards the mean of all, and how uncertain it is.

    All have the shape (points,); at least two points. The second is a variance of the log.
    """
    floor = max(1e-6 * float(np.median(variances)), FLOOR)  # of a point whose rounds are equal
    seen = np.log(np.maximum(variances, floor)) - _bias(freedoms)
    noise = special.zeta(2, freedoms / 2)  # trigamma
    caution = 1 + CAUTION / float(freedoms.sum())
    spread = max(caution * float(seen.var(ddof=1)) - float(noise.mean()), 0.0)
    weight = spread / (spread + noise)
    least = special.zeta(2, len(seen) + freedoms / 2)  # few points don't know the mean
    return weight * seen + (1 - weight) * seen.mean(), np.maximum(weight * noise, least)


def _medians(table: Float64) -> Float64:
    """Of each column, without its NaNs; every column holds a number. For small tables it takes a
    tenth of `numpy.nanmedian`'s time.
    """
    known = (~np.isnan(table)).sum(axis=0)
    ordered, columns = np.sort(table, axis=0), np.arange(table.shape[1])  # NaNs come last
    return np.asarray((ordered[(known - 1) // 2, columns] + ordered[known // 2, columns]) / 2)


def _bias(freedom: Float64) -> Float64:
    """By how much the expected log of s² differs from the log of the variance."""
    return np.asarray(special.digamma(freedom / 2) - np.log(freedom / 2))


def _inverse_trigamma(value: Float64 | float) -> Float64 | float:
    """Newton's method on 1/trigamma, which is nearly a straight line (Smyth 2004, appendix); of
    each value.
    """
    x: Float64 | float = 0.5 + 1 / value
    for _ in range(SWEEPS):
        trigamma = special.zeta(2, x)  # faster than polygamma, and the same
        step = trigamma * (1 - trigamma / value) / (-2 * special.zeta(3, x))
        x = x + step
        if np.abs(step / x).max() < TOLERANCE:
            break
    return x


Values = Mapping[str, Mapping[int, float]]
"""Point → round → value; positive and finite."""


class Blocks:
    """The points of one run in one metric, ready to be compared with one another."""

    def __init__(self, values: Values) -> None:
        """Raises ValueError for a value that is not positive and finite."""
        points = [point for point, rounds in values.items() if rounds]
        rounds = sorted({r for found in values.values() for r in found})
        self._row = {point: i for i, point in enumerate(points)}
        table = [[values[p].get(r, math.nan) for r in rounds] for p in points]
        known = np.array(table, np.float64).reshape(len(points), len(rounds))
        self._there = ~np.isnan(known)
        if not ((known > 0) & np.isfinite(known))[self._there].all():
            raise ValueError("not all values are positive and finite")
        self._logs = np.log(known)
        self._keep_company()

    def _keep_company(self) -> None:
        """Leave out what can't be compared within its round: rounds of one repeated point alone.

        A point that has no other rounds keeps them, and counts as not repeated.
        """
        self._repeated = self._there.sum(axis=1) > 1
        while True:
            among = self._there & self._repeated[:, None]
            alone = among & (among.sum(axis=0) == 1)
            kept = self._there & ~alone
            self._repeated &= kept.sum(axis=1) > 1
            kept = np.where(kept.any(axis=1)[:, None], kept, self._there)
            if (kept == self._there).all():
                break
            self._there = kept
        self._logs = np.where(self._there, self._logs, math.nan)
        self._count = self._there.sum(axis=1)
        self._few = bool(self._repeated.sum() < FEWEST_POINTS)
        self._whole = bool(self._there.all())

    def _fit(self, weights: Float64 | None = None) -> tuple[Float64, Float64]:
        """Level of each point, and what is left of each log (0 where nothing is), fitted in turns.

        The effect of a round is the mean of its repeated points by their `weights`, shape (points,
        rounds), which are 0 elsewhere; without weights it is their median.
        """
        repeated = self._logs[self._repeated]
        seen = self._there[self._repeated].any(axis=0)
        level, effect = self._means(self._logs), np.zeros(len(seen))
        for _ in range(SWEEPS if len(repeated) else 0):
            rest = (repeated - level[self._repeated, None])[:, seen]
            new = np.zeros_like(effect)
            new[seen] = (
                _medians(rest) if weights is None
                else np.nansum(rest * weights[self._repeated][:, seen], axis=0)
            )  # fmt: skip
            new[seen] -= new[seen].mean()
            moved = abs(new - effect).max()
            effect = new
            level = self._means(self._logs - effect)
            if moved < TOLERANCE:
                break
        return level, np.where(self._there, self._logs - level[:, None] - effect, 0.0)

    def _means(self, logs: Float64) -> Float64:
        """Of each point over its rounds."""
        return np.asarray(np.where(self._there, logs, 0.0).sum(axis=1) / self._count)

    def _weights(self, variances: Float64) -> Float64:
        """What each point has to say in each round's effect, shape (points, rounds): 1/variance."""
        weight = np.where(self._there & self._repeated[:, None], 1 / variances[:, None], 0.0)
        weight /= np.maximum(weight.sum(axis=0), 1e-300)
        most = weight > MOST_WEIGHT
        others = np.where(most, 0.0, weight)
        others *= (1 - MOST_WEIGHT) / np.maximum(others.sum(axis=0), 1e-300)
        return np.where(most.any(axis=0), np.where(most, MOST_WEIGHT, others), weight)

    def _scatter(self, rest: Float64, weights: Float64) -> tuple[Float64, Float64]:
        """Log of each repeated point's variance and its uncertainty; of the others 0."""
        share = weights.sum(axis=1) / self._count  # what the rounds' effects took of the point
        freedom = ((self._count - 1) * (1 - share))[self._repeated]
        log, uncertain = np.zeros(len(rest)), np.zeros(len(rest))
        log[self._repeated], uncertain[self._repeated] = drawn(
            (rest**2).sum(axis=1)[self._repeated] / freedom, freedom
        )
        return log, uncertain

    @cached_property
    def _fitted(self) -> tuple[Float64, Float64, Float64, Float64]:
        """Levels; log variances of one round's log, and their uncertainty; variance of each round's
        effect, shape (rounds,).
        """
        level, rest = self._fit()
        weights = self._weights(np.ones(len(rest)))
        if self._few:
            return level, rest, rest, rest
        rough, _ = self._scatter(rest, weights)
        weights = self._weights(np.exp(rough))
        level, rest = self._fit(weights)
        log, uncertain = self._scatter(rest, weights)
        return level, log, uncertain, (weights**2 * np.exp(log)[:, None]).sum(axis=0)

    @cached_property
    def _widest(self) -> tuple[Float64, Float64]:
        """Of each point the largest variance and Student t that a pair with it may have of it."""
        _, logs, uncertain, _ = self._fitted
        known = uncertain > 0
        freedom = 2 * _inverse_trigamma(np.where(known, uncertain, 1.0))
        t = special.stdtrit(np.where(known, freedom, np.inf), 0.975)
        return np.exp(logs) / self._count, np.asarray(t, np.float64)

    def places(self, points: Iterable[str]) -> Places:
        """Where `apart` finds these points; −1 for one that has no value."""
        return np.array([self._row.get(point, -1) for point in points], np.intp)

    def apart(self, place: int, others: Places) -> tuple[Float64, Float64]:
        """For many pairs at once, shape (others,): log of `ratio`, and a half width that its 95 %
        interval surely does not exceed. A pair that has no interval is NaN, or infinitely wide.

        The variance is at most (a + b)·exp(bulge) with bulge ≤ (uᵃ + uᵇ) / 8, and the freedom at
        least that of the more uncertain of both: so most pairs are told apart without their own.
        """
        levels, _, uncertain, effects = self._fitted
        gap, both = levels[place] - levels[others], self._repeated[others] & self._repeated[place]
        gap = np.where((others < 0) | (place < 0), np.nan, gap)
        if self._few:
            return np.where(both, np.nan, gap), np.full(len(others), np.inf)
        variance, t = self._widest
        bulge = np.exp((uncertain[place] + uncertain[others]) / 8)
        unshared = 0.0
        if not self._whole:
            share = self._there / self._count[:, None]
            unshared = ((share[place] - share[others]) ** 2 * effects).sum(axis=1)
        error = np.sqrt((variance[place] + variance[others]) * bulge + unshared)
        return gap, np.where(both, np.maximum(t[place], t[others]) * error, np.inf)

    def ratio(self, point: str, other: str, level: float = 0.95) -> Interval | None:
        """How many times `other`'s value `point`'s is: see `ratios`."""
        return self.ratios(point, [other], level)[0]

    def ratios(
        self, point: str, others: Sequence[str], level: float = 0.95, sign: int = 1
    ) -> list[Interval | None]:
        """How many times the value of each of `others` `point`'s is; with `sign` −1 the other way
        round. Without ends where there is one round.

        None where one of them has no value. Of fewer than three points that were repeated none
        knows anything of the others: then it is the paired t over the rounds that both have.
        """
        if point not in self._row or not others:
            return [None] * len(others)
        a, places = self._row[point], self.places(others)
        gap = sign * (self._fitted[0][a] - self._fitted[0][places])
        half = np.zeros_like(gap) if self._few else self._half_widths(a, places, level)
        ends = np.exp([gap, gap - half, gap + half]).T.tolist()

        def pair(b: int, value: float, low: float, high: float) -> Interval | None:
            if b < 0 or not (self._repeated[a] and self._repeated[b]):
                n = int(min(self._count[a], self._count[b]))
                return None if b < 0 else Interval(value, rounds=n)
            if self._few:
                pairs = sign * (self._logs[a] - self._logs[b])
                return log_t_interval(np.exp(pairs[~np.isnan(pairs)]).tolist(), level)
            return Interval(value, low, high, int(min(self._count[a], self._count[b])))

        return [pair(b, *found) for b, found in zip(places.tolist(), ends, strict=True)]

    def _half_widths(self, a: int, b: Places, level: float) -> Float64:
        """Of the intervals of the log of one point over each of many, shape (others,)."""
        _, _, uncertain, effects = self._fitted
        # the sum of both variances, its log expanded to the second order in theirs
        of_a, of_b = self._widest[0][a], self._widest[0][b]
        share = of_a / (of_a + of_b)
        spread = share**2 * uncertain[a] + (1 - share) ** 2 * uncertain[b]
        spread = np.where(spread > 0, spread, 1.0)  # of what was not repeated: has no interval
        bulge = share * (1 - share) * (uncertain[a] + uncertain[b]) / 2
        freedom = np.asarray(2 * _inverse_trigamma(spread))
        variance = (of_a + of_b) * np.exp(bulge + _bias(freedom))
        if not self._whole:  # rounds that only one of them has: the others say what they were
            part = self._there[a] / self._count[a] - self._there[b] / self._count[b, None]
            variance = variance + (part**2 * effects).sum(axis=1)
        error = np.sqrt(variance)
        t = special.stdtrit(freedom, (1 + level) / 2)
        return np.asarray(np.where(error > NO_SCATTER, t * error, 0.0))
