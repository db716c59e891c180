"""The comparison rule, and what it does when there is nothing to find (an A/A test).

The rule (docs/measurement.md, Comparison): the effect is the Hodges–Lehmann estimate of the shift
between the logs of two sets of rounds, its interval the inversion of the exact rank-sum test, both
signed so that worse is positive. A REGRESSION needs an interval above the margin and a p-value
below 0.05 after Holm's correction over the metrics; an IMPROVEMENT is its mirror image.
Sources: J. L. Hodges & E. L. Lehmann, Annals of Mathematical Statistics 34 (1963); H. B. Mann &
D. R. Whitney, ibid. 18 (1947); S. Holm, Scandinavian Journal of Statistics 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from harness.analysis.metrics import of_round
from harness.results.rows import MeasurementRow
from harness.scenario.metrics import PRIMARY

ALPHA = 0.05
MARGINS = {key: metric.margin for key, metric in PRIMARY.items()}
"""Primary metric → relative change that matters; smaller ones are never called a regression."""
REGRESSION, IMPROVEMENT = "regression", "improvement"
EQUIVALENT, INCONCLUSIVE = "equivalent", "inconclusive"
POWER = 0.8
Float64 = NDArray[np.float64]


# -------------------------------------------------------------------------------- effect and test


@cache
def rank_sum_tail(n: int, m: int) -> tuple[float, ...]:
    """P(U ≤ u) for u = 0 … n·m: Mann and Whitney's U of two samples of n and m without a shift.

    Counts by their recursion, as the coefficients of the Gaussian binomial; exact without ties.
    """
    counts = np.zeros(n * m + 1)
    counts[0] = 1.0
    for i in range(1, n + 1):
        for u in range(m + i, n * m + 1)[::-1]:  # times 1 − q^(m+i)
            counts[u] -= counts[u - m - i]
        for u in range(i, n * m + 1):  # divided by 1 − q^i
            counts[u] += counts[u - i]
    return tuple(np.cumsum(counts) / math.comb(n + m, n))


@dataclass(frozen=True, slots=True)
class Effect:
    """How B differs from A in one metric; logs, worse is positive."""

    shift: float
    low: float
    high: float
    """95 % interval; infinite where there are too few rounds for one."""
    low90: float
    high90: float
    p: float
    """Two-sided, exact; before any correction."""

    @property
    def relative(self) -> float:
        """The effect as a share: 0.03 is 3 % worse."""
        return math.expm1(self.shift)


def differences(a: Sequence[float], b: Sequence[float], metric: str) -> Float64:
    """All log b − log a in ascending order, signed so that worse is positive, shape (n·m,).

    Raises ValueError when a side is empty or holds a value that is not positive and finite.
    """
    if not a or not b:
        raise ValueError("no values")
    if not all(0 < v < math.inf for v in (*a, *b)):
        raise ValueError("not all values are positive and finite")
    logs = np.subtract.outer(np.log(b), np.log(a)).ravel()
    return np.sort(-PRIMARY[metric].sign * logs)


def bound(ascending: Float64, n: int, m: int, alpha: float) -> float:
    """Lower end of the 1 − `alpha` interval of the shift; −∞ where n and m are too small.

    The k-th smallest difference, for the largest k with P(U < k) ≤ alpha/2: the interval holds
    exactly those shifts that the two-sided test does not reject.
    """
    k = int(np.searchsorted(rank_sum_tail(n, m), alpha / 2 * (1 + 1e-12), "right"))
    return float(ascending[k - 1]) if k else -math.inf


def effect(a: Sequence[float], b: Sequence[float], metric: str) -> Effect:
    """B against A in one metric, a value a round. Raises ValueError as `differences` does."""
    n, m = len(b), len(a)
    ascending = differences(a, b, metric)
    mirrored = -ascending[::-1]
    return Effect(
        float(np.median(ascending)),
        bound(ascending, n, m, ALPHA), -bound(mirrored, n, m, ALPHA),
        bound(ascending, n, m, 2 * ALPHA), -bound(mirrored, n, m, 2 * ALPHA),
        _p_value(ascending, n, m),
    )  # fmt: skip


def _p_value(ascending: Float64, n: int, m: int) -> float:
    """Two-sided; a tie counts half on each side and is rounded towards no difference."""
    above = float((ascending > 0).sum()) + float((ascending == 0).sum()) / 2
    smaller = math.ceil(min(above, n * m - above))
    return min(1.0, 2 * rank_sum_tail(n, m)[smaller])


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values that keep the chance of any false alarm below the level."""
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = largest
    return adjusted


def verdict(found: Effect, adjusted_p: float, margin: float) -> str:
    """What may be said of one metric; `margin` is relative."""
    limit = math.log1p(margin)
    if found.low > limit and adjusted_p < ALPHA:
        return REGRESSION
    if found.high < -limit and adjusted_p < ALPHA:
        return IMPROVEMENT
    if -limit <= found.low90 and found.high90 <= limit:
        return EQUIVALENT
    return INCONCLUSIVE


Values = Mapping[str, Sequence[float]]
"""Metric → a value a round."""


def verdicts(a: Values, b: Values) -> dict[str, str]:
    """The verdict on each metric that both sides have."""
    effects = {metric: effect(a[metric], b[metric], metric) for metric in a if metric in b}
    adjusted = holm({metric: e.p for metric, e in effects.items()})
    return {m: verdict(e, adjusted[m], MARGINS[m]) for m, e in effects.items()}


# ------------------------------------------------------------------------------------- A/A splits


def primary_values(rows: Sequence[MeasurementRow]) -> dict[str, list[float]]:
    """The primary metrics of a point's rounds, in order; a metric must be finite in all of them."""
    ordered = sorted(rows, key=lambda r: r.round)
    rounds = {key: [of_round(r, m.name) for r in ordered] for key, m in PRIMARY.items()}
    return {
        key: known
        for key, values in rounds.items()
        if len(known := [v for v in values if v is not None and 0 < v < math.inf]) == len(values)
    }


def splits(rounds: int, count: int, seed: int) -> Iterator[tuple[list[int], list[int]]]:
    """`count` ways to call rounds A or B: neighbours form a block, each AB or BA by chance."""
    rng = np.random.default_rng(seed)
    for flips in rng.integers(0, 2, (count, rounds // 2)):
        blocks = [(2 * i + int(f), 2 * i + 1 - int(f)) for i, f in enumerate(flips)]
        yield [a for a, _ in blocks], [b for _, b in blocks]


@dataclass(frozen=True, slots=True)
class SelfTest:
    """What the rule makes of one point that is compared with itself."""

    point: str
    rounds: int
    """A side."""
    comparisons: int
    false_alarms: Mapping[str, int]
    """Metric → comparisons whose verdict was REGRESSION or IMPROVEMENT."""
    any_false_alarm: int
    """Comparisons with a false alarm in at least one metric."""
    equivalent: Mapping[str, int]
    detectable: Mapping[str, float]
    """Metric → the smallest slowdown that is called a REGRESSION in 80 % of the comparisons, as a
    share; infinite where so few rounds can't show any."""


def self_test(point: str, values: Values, *, count: int = 1000, seed: int = 0) -> SelfTest:
    """Compare a point with itself, over many random splits of its rounds.

    `values` hold an even number of rounds, at least four; a last odd one is left out. Raises
    ValueError when there are fewer, or no metric.
    """
    rounds = min((len(v) for v in values.values()), default=0) // 2 * 2
    if rounds < 4:
        raise ValueError(f"{point}: an A/A test needs four rounds at least, found {rounds}")
    alarms, equivalent = dict.fromkeys(values, 0), dict.fromkeys(values, 0)
    needed: dict[str, list[float]] = {metric: [] for metric in values}
    together = 0
    for a, b in splits(rounds, count, seed):
        sides = [{m: [v[i] for i in side] for m, v in values.items()} for side in (a, b)]
        said = verdicts(*sides)
        raised = [m for m, word in said.items() if word in (REGRESSION, IMPROVEMENT)]
        together += bool(raised)
        for metric in raised:
            alarms[metric] += 1
        for metric in values:
            equivalent[metric] += said[metric] == EQUIVALENT
            needed[metric].append(_needed(sides[0][metric], sides[1][metric], metric, len(values)))
    return SelfTest(
        point, rounds // 2, count, alarms, together, equivalent,
        {m: math.expm1(_quantile(found)) for m, found in needed.items()},
    )  # fmt: skip


def _needed(a: Sequence[float], b: Sequence[float], metric: str, metrics: int) -> float:
    """The slowdown of B, as a log, from which this comparison would say REGRESSION.

    A slowdown by d adds d to every difference, so it is what the interval's lower end lacks to the
    margin, or to zero in the interval that belongs to Holm's strictest level, if that is more.
    """
    ascending = differences(a, b, metric)
    n, m = len(b), len(a)
    above_margin = math.log1p(MARGINS[metric]) - bound(ascending, n, m, ALPHA)
    significant = -bound(ascending, n, m, ALPHA / metrics)
    return max(0.0, above_margin, significant)


def _quantile(needed: Sequence[float]) -> float:
    """The value that `POWER` of all reach."""
    return sorted(needed)[math.ceil(POWER * len(needed)) - 1]
