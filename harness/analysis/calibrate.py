"""From a run of many rounds to a calibration: every valid point compared with itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from harness.analysis.comparison import LOOK_LEVEL, LOOKS, Float64, Verdict, judge, shifts_of
from harness.analysis.intervals import t_quantile
from harness.analysis.metrics import of_round
from harness.analysis.summary import SummaryRow
from harness.results.rows import MeasurementRow
from harness.scenario.metrics import PRIMARY

COMPARISONS = 500
"""Random splits a point."""
FEWEST_ROUNDS = 2 * LOOKS[0]
POWER = 0.8


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
    share."""


Values = Mapping[str, Sequence[float]]
"""Key of a metric → a value a round."""


def primary_values(rows: Sequence[MeasurementRow]) -> dict[str, list[float]]:
    """The primary metrics of a point's rounds, in order; a metric must be finite in all of them."""
    ordered = sorted(rows, key=lambda r: r.round)
    rounds = {key: [of_round(r, m.name) for r in ordered] for key, m in PRIMARY.items()}
    return {
        key: known
        for key, values in rounds.items()
        if len(known := [v for v in values if v is not None and 0 < v < math.inf]) == len(values)
    }


def splits(rounds: int, count: int, seed: int) -> Iterator[list[tuple[int, int]]]:
    """`count` ways to call rounds A and B: neighbours form a block, each AB or BA by chance."""
    rng = np.random.default_rng(seed)
    for flips in rng.integers(0, 2, (count, rounds // 2)):
        yield [(2 * i + int(f), 2 * i + 1 - int(f)) for i, f in enumerate(flips)]


def self_test(point: str, values: Values, *, count: int = COMPARISONS, seed: int = 0) -> SelfTest:
    """Compare a point with itself, over many random splits of its rounds.

    A last odd round is left out. Raises ValueError with fewer rounds than the first look needs.
    """
    rounds = min((len(v) for v in values.values()), default=0) // 2 * 2
    if rounds < FEWEST_ROUNDS:
        raise ValueError(
            f"{point}: an A/A test needs {FEWEST_ROUNDS} rounds at least, found {rounds}"
        )
    alarms, equivalent = dict.fromkeys(values, 0), dict.fromkeys(values, 0)
    needed: dict[str, list[float]] = {metric: [] for metric in values}
    together = 0
    for blocks in splits(rounds, count, seed):
        pairs = {m: [(v[a], v[b]) for a, b in blocks] for m, v in values.items()}
        said = {j.metric: j.verdict for j in judge(pairs, PRIMARY.values())}
        raised = [
            m for m, word in said.items() if word in (Verdict.REGRESSION, Verdict.IMPROVEMENT)
        ]
        together += bool(raised)
        for metric in raised:
            alarms[metric] += 1
        for metric in values:
            equivalent[metric] += said[metric] is Verdict.EQUIVALENT
            shifts = shifts_of(pairs[metric], PRIMARY[metric])
            needed[metric].append(_needed(shifts, PRIMARY[metric].margin, len(values)))
    detectable = {
        m: math.expm1(sorted(found)[math.ceil(POWER * len(found)) - 1])
        for m, found in needed.items()
    }
    return SelfTest(point, rounds // 2, count, alarms, together, equivalent, detectable)


def _needed(shifts: Float64, margin: float, metrics: int) -> float:
    """The slowdown of B, as a log, from which this comparison would say REGRESSION.

    It adds to every shift: what their mean lacks to the margin, or to being significant at Holm's
    strictest level, if that is more.
    """
    mean, n = float(shifts.mean()), len(shifts)
    error = float(shifts.std(ddof=1)) / math.sqrt(n)
    significant = t_quantile(1 - LOOK_LEVEL / metrics / 2, n - 1) * error
    return max(0.0, math.log1p(margin) - mean, significant - mean)


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the comparison rule makes of a machine that is compared with itself."""

    tests: tuple[SelfTest, ...]
    left_out: tuple[str, ...]
    """Points that are invalid or were not measured in enough rounds."""

    @property
    def rounds(self) -> int:
        """Rounds a side, at most."""
        return max((t.rounds for t in self.tests), default=0)

    @property
    def comparisons(self) -> int:
        """All comparisons."""
        return sum(t.comparisons for t in self.tests)

    @property
    def false_alarms(self) -> int:
        """Comparisons in which some metric was called a regression or an improvement."""
        return sum(t.any_false_alarm for t in self.tests)

    @property
    def detectable(self) -> dict[str, float]:
        """Metric → the smallest slowdown that is found at every point four times in five."""
        return {
            metric: max(found)
            for metric in PRIMARY
            if (found := [t.detectable[metric] for t in self.tests if metric in t.detectable])
        }

    def to_json(self) -> dict[str, object]:
        """What is stored of it; infinities become `inf` when it is written."""
        return {
            "rounds": self.rounds, "comparisons": self.comparisons,
            "false_alarms": self.false_alarms, "detectable": self.detectable,
            "points": [asdict(t) for t in self.tests], "left_out": list(self.left_out),
        }  # fmt: skip


def calibrate(rows: Sequence[SummaryRow], *, seed: int = 0) -> Calibration:
    """Compare each point with itself; the rates that a capacity search tried take no part."""
    tests: list[SelfTest] = []
    left_out: list[str] = []
    for row in rows:
        if row.searched:
            continue
        values = primary_values(row.measurements)
        if not row.valid or row.rounds < FEWEST_ROUNDS or not values:
            left_out.append(row.point)
        else:
            tests.append(self_test(row.point, values, seed=seed))
    return Calibration(tuple(tests), tuple(left_out))


def detectable_text(share: float | str) -> str:
    """`2.9 %`, or `none` where so few rounds can't show any; takes what the file holds."""
    value = float(share)
    return f"{100 * value:.2g} %" if math.isfinite(value) else "none"


def false_alarm_text(found: Mapping[str, Any]) -> str:
    """The result in two sentences, for reports and the terminal; `found` as it is stored."""
    sizes = ", ".join(
        f"{metric} {detectable_text(share)}" for metric, share in found["detectable"].items()
    )
    return (
        f"On this machine an A/A test of {found['scenario']} ({found['rounds']} against "
        f"{found['rounds']} rounds, {str(found['created'])[:10]}) raised a false alarm in "
        f"{found['false_alarms']:,} of {found['comparisons']:,} comparisons; smallest detectable "
        f"effect: {sizes}."
    )
