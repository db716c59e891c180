"""From a scenario's whole runs, repeated, to a calibration: what comparisons here are worth.

The logs of a point's metric are y = mean + run effect + round effect. The effects' variances are
estimated by the analysis of variance of the balanced one-way random model: with k runs of n rounds,
the round's is the mean square within runs (MSW), the run's (MSB − MSW) / n, where MSB is n times
the variance of the runs' means. Source: S. R. Searle, G. Casella, C. E. McCulloch, Variance
Components (1992), chapter 3. A drift is a slope over the rounds that all runs share, each run
having a mean of its own (analysis of covariance).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
from scipy import special

from harness.analysis.intervals import t_quantile
from harness.analysis.metrics import of_rounds
from harness.analysis.summary import SummaryRow
from harness.compare.verdicts import LOOK_LEVEL, LOOKS, Float64, Verdict, holm, judge
from harness.results.rows import MeasurementRow
from harness.scenario.metrics import PRIMARY

FEWEST_ROUNDS = 2 * LOOKS[0]
"""Of a run, so that its halves can be compared."""
POWER = 0.8
DRIFT_LEVEL = 0.01
"""Share of the calibrations of a machine that doesn't drift which say that it does."""

Values = Mapping[str, Float64]
"""Key of a metric → logs, shape (runs, rounds)."""


@dataclass(frozen=True, slots=True)
class Effects:
    """Of one metric at one point, on logs: 0.01 is 1 %."""

    run_variance: float
    """Unbiased, so it may be below zero where there is none."""
    round_variance: float
    drift: float
    """Change from one round of a run to the next."""
    p: float
    """Of the drift, two-sided."""


@dataclass(frozen=True, slots=True)
class Design:
    """A way to compare, tried on what did not change."""

    comparisons: int
    false_alarms: int
    """Those that called some metric a regression or an improvement."""
    detectable: Mapping[str, float]
    """Metric → the smallest slowdown, a share, that is called a REGRESSION four times in five."""


@dataclass(frozen=True, slots=True)
class PointTest:
    """One point compared with itself."""

    point: str
    effects: Mapping[str, Effects]
    halves: Design
    """A run's first rounds against its last."""
    runs: Design
    """Run against run."""


def effects_of(logs: Float64) -> Effects:
    """The effects in logs of shape (runs, rounds), at least two each."""
    runs, rounds = logs.shape
    means = logs.mean(axis=1)
    within = logs - means[:, None]
    round_variance = float((within**2).sum()) / (runs * (rounds - 1))
    place = np.arange(rounds) - (rounds - 1) / 2
    weight = runs * float(place @ place)
    drift = float((within @ place).sum()) / weight
    freedom = runs * (rounds - 1) - 1
    error = math.sqrt(float(((within - drift * place) ** 2).sum()) / freedom / weight)
    p = 2 * float(special.stdtr(freedom, -abs(drift) / error)) if error else float(not drift)
    run_variance = float(means.var(ddof=1)) - round_variance / rounds
    return Effects(run_variance, round_variance, drift, p)


def compare(point: str, values: Values) -> PointTest:
    """Compare a point's halves and its runs by the rule that compares two things."""
    runs, rounds = next(iter(values.values())).shape
    half = rounds // 2
    effects = {m: effects_of(logs) for m, logs in values.items()}
    within = {m: math.sqrt(2 * e.round_variance / half) for m, e in effects.items()}
    between = {
        m: math.sqrt(2 * (max(0.0, e.run_variance) + e.round_variance / rounds))
        for m, e in effects.items()
    }
    halves = [({m: v[i, :half] for m, v in values.items()},
               {m: v[i, half : 2 * half] for m, v in values.items()})
              for i in range(runs)]  # fmt: skip
    pairs = [({m: v[a] for m, v in values.items()}, {m: v[b] for m, v in values.items()})
             for a, b in combinations(range(runs), 2)]  # fmt: skip
    return PointTest(point, effects, _tried(halves, within, half), _tried(pairs, between, runs))


def _tried(
    sides: Sequence[tuple[Values, Values]], errors: Mapping[str, float], units: int
) -> Design:
    """A design by its comparisons, the standard errors of a shift, and what those rest on."""
    alarms = sum(_alarm(a, b) for a, b in sides)
    found = {m: _detectable(m, error, units, len(errors)) for m, error in errors.items()}
    return Design(len(sides), alarms, found)


def _alarm(a: Values, b: Values) -> bool:
    pairs = {m: list(zip(np.exp(a[m]), np.exp(b[m]), strict=True)) for m in a}
    said = (j.verdict for j in judge(pairs, PRIMARY.values()))
    return any(word in (Verdict.REGRESSION, Verdict.IMPROVEMENT) for word in said)


def _detectable(metric: str, error: float, units: int, metrics: int) -> float:
    """The slowdown that four times in five lies beyond the margin, and four times in five is
    significant at Holm's strictest level, where its standard error is estimated from so many units
    (then t has a non-central distribution).
    """
    critical = t_quantile(1 - LOOK_LEVEL / metrics / 2, units - 1)
    significant = float(special.nctdtrinc(units - 1, 1 - POWER, critical)) * error
    beyond = math.log1p(PRIMARY[metric].margin) + float(special.ndtri(POWER)) * error
    return math.expm1(max(significant, beyond))


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the comparison rule makes of a machine that is compared with itself."""

    runs: int
    rounds: int
    """Of a run, as planned; points with disturbed rounds have fewer."""
    tests: tuple[PointTest, ...]
    left_out: tuple[str, ...]
    """Points that are invalid in some run or were not measured in enough of its rounds."""

    @property
    def drifts(self) -> dict[str, float]:
        """`p50 of fake/b1/c1` → change a round, a share, where there is one."""
        every = {f"{m} of {t.point}": e for t in self.tests for m, e in t.effects.items()}
        adjusted = holm({key: e.p for key, e in every.items()})
        return {k: math.expm1(e.drift) for k, e in every.items() if adjusted[k] < DRIFT_LEVEL}

    @property
    def spread(self) -> dict[str, dict[str, float]]:
        """Metric → standard deviation of the `run` and of the `round` effect over all points."""
        found = {m: [t.effects[m] for t in self.tests if m in t.effects] for m in PRIMARY}
        return {
            m: {"run": math.sqrt(max(0.0, sum(e.run_variance for e in every) / len(every))),
                "round": math.sqrt(sum(e.round_variance for e in every) / len(every))}
            for m, every in found.items() if every
        }  # fmt: skip

    def to_json(self) -> dict[str, object]:
        """What is stored of it; infinities become `inf` when it is written."""
        return {
            "runs": self.runs, "rounds": self.rounds, "spread": self.spread, "drifts": self.drifts,
            "halves": asdict(_together([t.halves for t in self.tests])),
            "between": asdict(_together([t.runs for t in self.tests])),
            "points": [asdict(t) for t in self.tests], "left_out": list(self.left_out),
        }  # fmt: skip


def _together(designs: Sequence[Design]) -> Design:
    """All points': what is found at every one of them."""
    return Design(
        sum(d.comparisons for d in designs), sum(d.false_alarms for d in designs),
        {m: max(found) for m in PRIMARY
         if (found := [d.detectable[m] for d in designs if m in d.detectable])},
    )  # fmt: skip


def calibrate(runs: Sequence[Iterable[SummaryRow]], rounds: int) -> Calibration:
    """Compare the points of several runs with themselves; rates that a capacity search tried take
    no part.
    """
    by_point: dict[str, list[SummaryRow]] = {}
    for row in (row for run in runs for row in run if not row.searched):
        by_point.setdefault(row.point, []).append(row)
    tests, left_out = [], []
    for point, rows in by_point.items():
        enough = all(row.valid and row.rounds >= FEWEST_ROUNDS for row in rows)
        values = values_of([r.measurements for r in rows]) if len(rows) == len(runs) else {}
        if enough and values:
            tests.append(compare(point, values))
        else:
            left_out.append(point)
    return Calibration(len(runs), rounds, tuple(tests), tuple(left_out))


def values_of(runs: Sequence[Sequence[MeasurementRow]]) -> Values:
    """The primary metrics that are finite in all rounds, as logs, in the rounds' order.

    Runs are cut to the shortest: a disturbed round is in none.
    """
    ordered = [sorted(run, key=lambda r: r.round) for run in runs]
    fewest = min(map(len, ordered))
    found = {}
    for key, metric in PRIMARY.items():
        values = [of_rounds(run[:fewest], metric.name) for run in ordered]
        if all(v is not None and 0 < v < math.inf for run in values for v in run):
            found[key] = np.log(np.array(values, np.float64))
    return found
