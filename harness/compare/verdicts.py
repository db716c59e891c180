"""Whether B is worse than A: blocks of one run, looked at a few times, with errors that are known.

A block is A and B measured one after the other, in an order that alternates (AB, BA, …), so that
drift cancels and a block's luck falls on both. What is judged is the log of B over A of each block,
by the paired t. Looks are allowed after 4, 6, 9, 13 and 19 blocks, each at a level of 0.0125, so
that a run without a difference raises a false alarm in fewer than 5 % (S. J. Pocock, Biometrika 64,
1977, has 0.0158 for five looks at equal distances; ours is below it because ours begin with four
blocks, where t is far from normal); within a look the metrics share the level by Holm. The error
rates are simulated in benchmarks/verdicts.py.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import t_quantile
from harness.scenario.metrics import Metric

LOOKS = (4, 6, 9, 13, 19)
LOOK_LEVEL = 0.0125
INTERVAL_LEVEL = 0.05
Float64 = NDArray[np.float64]


class Verdict(StrEnum):
    """What may be said of one metric, or of all together."""

    REGRESSION = "regression"
    IMPROVEMENT = "improvement"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True)
class Judged:
    """How B differs from A in one metric; logs, worse is positive."""

    metric: str
    verdict: Verdict
    shift: float
    low: float
    high: float
    """95 % interval of the mean over the blocks; infinite with fewer than two."""
    p: float
    """Two-sided, adjusted over the metrics."""
    blocks: int
    needed: int | None
    """Blocks by which it should be decided; None where it is, or where no look would do."""

    @property
    def relative(self) -> float:
        """The shift as a share: 0.03 is 3 % worse."""
        return math.expm1(self.shift)


Pairs = Mapping[str, Sequence[tuple[float, float]]]
"""Key of a metric → A's and B's value of each block."""


def judge(pairs: Pairs, metrics: Iterable[Metric], points: int = 1) -> tuple[Judged, ...]:
    """The verdict on each metric that has blocks; `points` compared at once share the level.

    Raises ValueError for a value that is not positive and finite: leaving it out would hide a
    failure.
    """
    measured = {m.key: m for m in metrics if pairs.get(m.key)}
    shifts = {key: shifts_of(pairs[key], m) for key, m in measured.items()}
    adjusted = holm({key: paired_p(values) for key, values in shifts.items()})
    return tuple(
        _judged(m, shifts[key], adjusted[key], LOOK_LEVEL / points) for key, m in measured.items()
    )


def shifts_of(pairs: Sequence[tuple[float, float]], metric: Metric) -> Float64:
    """Log B over A of each block, worse is positive, shape (blocks,). Raises ValueError."""
    values = np.asarray(pairs, np.float64).reshape(-1, 2)
    if not ((values > 0) & np.isfinite(values)).all():
        raise ValueError(f"{metric.key}: not all values are positive and finite")
    shift = np.log(values[:, 1] / values[:, 0])
    return -shift if metric.more_is_better else shift


def t_test(mean: float, error: float, freedom: int) -> float:
    """Two-sided p of a mean with that standard error; 1 where the error is not known (infinite)."""
    if error == 0:
        return 0.0 if mean else 1.0
    return float(2 * special.stdtr(freedom, -abs(mean) / error))


def paired_p(shifts: Float64) -> float:
    """Of the paired t, two-sided; 1 for fewer than two."""
    n = len(shifts)
    if n < 2:
        return 1.0
    return t_test(float(shifts.mean()), float(shifts.std(ddof=1)) / math.sqrt(n), n - 1)


def decide(mean: float, half: float, p: float, level: float, limit: float) -> Verdict:
    """The verdict on a mean of logs, worse is positive, with its interval's half-width."""
    if p < level and abs(mean) > limit:
        return Verdict.REGRESSION if mean > 0 else Verdict.IMPROVEMENT
    within = -limit <= mean - half and mean + half <= limit
    return Verdict.EQUIVALENT if within else Verdict.INCONCLUSIVE


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values that keep the chance of any false alarm below the level.

    Source: S. Holm, Scandinavian Journal of Statistics 6 (1979).
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for place, key in enumerate(sorted(p_values, key=lambda k: p_values[k])):
        largest = max(largest, min(1.0, (len(p_values) - place) * p_values[key]))
        adjusted[key] = largest
    return adjusted


def _judged(metric: Metric, shifts: Float64, p: float, level: float) -> Judged:
    n, mean = len(shifts), float(shifts.mean())
    deviation = float(shifts.std(ddof=1)) if n > 1 else math.inf
    half = half_width(deviation, n)
    limit = math.log1p(metric.margin)
    verdict = Verdict.INCONCLUSIVE
    if n >= LOOKS[0]:
        verdict = decide(mean, half, p, level, limit)
    needed = None
    if verdict is Verdict.INCONCLUSIVE:
        needed = _needed(mean, deviation, n, limit, level)
    return Judged(metric.key, verdict, mean, mean - half, mean + half, p, n, needed)


def half_width(deviation: float, blocks: int) -> float:
    """Of the interval of a mean over so many blocks; infinite for fewer than two."""
    if blocks < 2:
        return math.inf
    return t_quantile(1 - INTERVAL_LEVEL / 2, blocks - 1) * deviation / math.sqrt(blocks)


def _needed(mean: float, deviation: float, blocks: int, limit: float, level: float) -> int | None:
    """The first look that would decide if the mean and the scatter stayed as they are; the first
    of all where the scatter is not known yet."""
    if not math.isfinite(deviation):
        return LOOKS[0]
    for n in LOOKS:
        if n <= blocks:
            continue
        significant = 2 * special.stdtr(n - 1, -abs(mean) / max(deviation, 1e-300) * math.sqrt(n))
        if abs(mean) > limit and significant < level:
            return n
        if abs(mean) + half_width(deviation, n) <= limit:
            return n
    return None
