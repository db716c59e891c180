"""How much a run may still measure: its remaining rounds, drawn many times from what is known.

Each draw takes a scatter of the rounds and true values that agree with what was measured, and goes
on by the rules of `choose` and `contenders`, simplified: a config is its best point, one scatter is
that of all, and constraints are held as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.blocks import Float64
from harness.analysis.summary import SummaryRow
from harness.results.grouping import grouped
from harness.scenario.variants import DEFAULT_CONFIG
from harness.search import contenders, halving
from harness.search.score import WORST, score
from harness.search.space import Goal

DRAWS = 100
SCATTER, FACTOR, SPREAD = 0.03, 4.0, 0.2
"""Median of a round's scatter, and its factor of one standard deviation, before a second round; how
far true values are apart, before two configs are measured."""


class Rest:
    """The draws of one run; arrays have the shape (draws, configs)."""

    def __init__(
        self, points: Mapping[tuple[str, str], Sequence[str]], due: Collection[str],
        rows: Sequence[SummaryRow], goal: Goal,
    ) -> None:  # fmt: skip
        """`points`: those of each config that may be measured again, a backend's configs together;
        `due`: what this round still measures of them; `rows`: all points of the run. A config whose
        points have no name may be measured in this round, or no more of its kind.
        """
        self._goal, self._rng = goal, np.random.default_rng(0)
        self._points = np.array([len(mine) for mine in points.values()])
        self._first = np.cumsum(self._points) - self._points
        self._default = np.array([config == DEFAULT_CONFIG for _, config in points])
        self._backends = len({backend for backend, _ in points})
        found = grouped(rows, lambda row: (row.backend, row.config)).items()
        scores = {name: max((score(r, goal), r.rounds) for r in mine) for name, mine in found}
        best = [scores.get(name, (WORST, 0)) for name in points]
        held, values, rounds = np.array([(s.held, s.value, n) for s, n in best]).T
        self._ranked = (held >= min(0.0, held.max())) | (rounds == 0)
        self._counts = np.tile(np.where(np.isfinite(values), rounds, 0.0), (DRAWS, 1))
        self._sums = self._counts * np.where(np.isfinite(values), values, 0.0)
        unknown = np.array(["" in mine for mine in points.values()])
        come = self._rng.random((DRAWS, 1)) * (unknown.sum() + 1)
        self._kept = come >= unknown * unknown.cumsum()
        pairs = filter(None, (goal.objective.per_round(r)[-2:] for r in rows if r.rounds > 1))
        steps = [math.log(b / a) for a, b in pairs if 0 < min(a, b) <= max(a, b) < math.inf]
        self._truth: Float64 = self._draw(values[np.isfinite(values)], np.array(steps))
        new = self._kept & unknown
        self.totals = np.array([(new * self._points).sum(axis=1), new.sum(axis=1)])
        """What each draw measures that is not `due`: points, and sessions in which they are."""
        self._measure(np.array([any(p in due for p in mine) for mine in points.values()]) | new)

    def _draw(self, values: Float64, steps: Float64) -> Float64:
        """True values: what was measured, drawn to the mean of all as far as rounds scatter; what
        was not measured is anything that the others are. `steps`: of points' logs from a round to
        the next one.
        """
        spread = max(float(values.std()), 1e-3) if len(values) > 1 else SPREAD
        if len(steps) > 1:
            luck = self._rng.chisquare(len(steps) - 1, (DRAWS, 1))
            self._scatter = np.sqrt(steps.var() * len(steps) / 2 / luck)
        else:  # no more than configs are apart
            drawn = SCATTER * FACTOR ** self._rng.normal(size=(DRAWS, 1))
            self._scatter = np.minimum(drawn, 2 * spread)
        middle, counts = values.sum() / max(len(values), 1), np.maximum(self._counts, 1e-9)
        chance = self._scatter**2 / counts
        share = spread**2 / (spread**2 + chance)
        errors = np.sqrt(share * chance) * self._rng.normal(size=counts.shape)
        return np.asarray(middle + share * (self._sums / counts - middle) + errors, np.float64)

    def round(self, number: int, asked: NDArray[np.bool_], *, deciding: bool) -> None:
        """Draw a round, which of the configs that are kept measures the points that are `asked`,
        shape (draws, points), and with `deciding` what may be the best.
        """
        if self._goal.method != "grid":
            self._drop(number)
        points = self._kept * np.add.reduceat(asked, self._first, axis=1, dtype=np.int64)
        points = np.maximum(points, deciding & self._undecided())
        self.totals += [points.sum(axis=1), (points > 0).sum(axis=1)]
        self._measure(points > 0)

    def _measure(self, configs: NDArray[np.bool_]) -> None:
        errors = self._scatter * self._rng.normal(size=self._truth.shape)
        self._sums += np.where(configs, self._truth + errors, 0.0)
        self._counts += configs

    def _means(self) -> Float64:
        usable = (self._counts > 0) & self._ranked & self._kept
        return np.where(usable, self._sums / np.maximum(self._counts, 1), -1e9)

    def _behind(self, level: float) -> tuple[Float64, Float64]:
        """How far each config is behind the best, and half of that difference's interval: wider by
        a quarter after two rounds and a tenth after three, as `Blocks` in the median makes it.
        """
        means, counts = self._means(), np.maximum(self._counts, 1)
        best = means.argmax(axis=1)[:, None]
        error = np.sqrt(1 / counts + 1 / np.take_along_axis(counts, best, axis=1))
        freedom = np.maximum((self._points * (counts - 1)).sum(axis=1, keepdims=True), 1)
        half = special.stdtrit(freedom, (1 + level) / 2) * self._scatter * error * (1 + counts**-2)
        return means.max(axis=1, keepdims=True) - means, half

    def _drop(self, number: int) -> None:
        """Leave out the configs that a round no longer measures: see `choose.kept_configs`."""
        if number > 1:
            behind, half = self._behind(halving.LEVEL)
            self._kept &= (behind <= half) | self._default
        if self._goal.method in ("quick", "bayesian"):
            means = np.where(self._default, -1e9, self._means())
            worst = np.sort(means)[:, -self._goal.top * self._backends :][:, :1]
            self._kept &= (means >= worst) | self._default

    def _undecided(self) -> NDArray[np.bool_]:
        """What `contenders` measures again."""
        behind, half = self._behind(contenders.LEVEL)
        zone = math.log1p(self._goal.indifference)
        may = (behind <= half) & ((behind + half > zone) | (behind - half < -zone)) & (behind > 0)
        return np.asarray(may | ((behind == 0) & may.any(axis=1, keepdims=True)), np.bool_)
