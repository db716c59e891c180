"""What a comparison found: plain data, from which every output is made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from harness.compare.layers.matching import Layers
from harness.compare.side import Side
from harness.compare.verdicts import Judged
from harness.compare.verdicts import Verdict as MetricVerdict
from harness.scenario.metrics import Metric


class Verdict(StrEnum):
    """What may be said of a point, or of a whole comparison."""

    REGRESSION = "regression"
    INVALID = "invalid"
    INCONCLUSIVE = "inconclusive"
    IMPROVEMENT = "improvement"
    EQUIVALENT = "equivalent"

    @property
    def exit_code(self) -> int:
        """1: the answer is no; 4: nothing was decided; 0 else."""
        return {"regression": 1, "invalid": 4, "inconclusive": 4}.get(self, 0)


WORST_FIRST = tuple(Verdict)


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one point on both sides."""

    metric: Metric
    base: float
    """Geometric mean over the rounds that count."""
    candidate: float
    judged: Judged
    """Logs, worse is positive; of a metric beside the verdict only the interval means anything."""

    @property
    def change(self) -> float:
        """The candidate over the base, as a share: +0.03 is 3 % more, whatever is better."""
        return math.expm1(self.metric.sign * -self.judged.shift)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % of `change`, low and high; infinite where there is none."""
        ends = (self.metric.sign * -end for end in (self.judged.low, self.judged.high))
        low, high = sorted(_expm1(end) for end in ends)
        return low, high

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.judged.low) and math.isfinite(self.judged.high)


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 700 else math.inf


@dataclass(frozen=True, slots=True)
class PointResult:
    """One point: the verdict on it, and what that rests on."""

    place: str
    verdict: Verdict
    rows: tuple[Row, ...] = ()
    """Of the metrics that are judged."""
    beside: tuple[Row, ...] = ()
    blocks: int = 0
    reason: str = ""
    """Why it is INVALID, INCONCLUSIVE, or a REGRESSION that no number says."""

    @property
    def needed(self) -> int | None:
        """Blocks by which all of it should be decided, if that is in sight."""
        open_ = [r.judged for r in self.rows if r.judged.verdict is MetricVerdict.INCONCLUSIVE]
        if not open_ or any(j.needed is None for j in open_):
            return None
        return max(j.needed or 0 for j in open_)


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against a base."""

    base: Side
    candidate: Side
    design: str
    """How the two were measured, in words."""
    points: tuple[PointResult, ...]
    pooled: tuple[Row, ...] = ()
    """All points at once, where there are several; values are 1 and the mean ratio."""
    unequal: tuple[str, ...] = ()
    """What could not be held equal, in words."""
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Package or setting → the base's and the candidate's."""
    forced: tuple[str, ...] = ()
    """Why it would have been refused, had it not been forced."""
    drift: str = ""
    """Where the candidate's outputs are wrong and the base's are not: a verdict of its own."""
    outputs: tuple[str, ...] = ()
    """How far both were from the reference, in words."""
    left_out: tuple[str, ...] = ()
    """Points that only one side has."""
    layers: Layers | None = None
    """Where they were profiled."""

    @property
    def verdict(self) -> Verdict:
        """The worst of the points, the pooled one and the outputs."""
        found = {p.verdict for p in self.points}
        found |= {Verdict(r.judged.verdict) for r in self.pooled if r.judged.verdict in DECIDED}
        if self.drift:
            found.add(Verdict.REGRESSION)
        return next((v for v in WORST_FIRST if v in found), Verdict.INVALID)

    @property
    def needed(self) -> int | None:
        """Blocks by which all of it should be decided."""
        open_ = [p for p in self.points if p.verdict is Verdict.INCONCLUSIVE]
        if not open_ or any(p.needed is None for p in open_):
            return None
        return max(p.needed or 0 for p in open_)

    @property
    def minutes(self) -> float | None:
        """How long the blocks that are still needed take."""
        each = max(self.base.minutes_per_round, self.candidate.minutes_per_round)
        if self.needed is None or not each:
            return None
        return each * (self.needed - min(p.blocks for p in self.points if p.needed))


DECIDED = (MetricVerdict.REGRESSION,)
"""Verdicts on all points at once that count though no single point shows it."""


def worst(comparisons: Sequence[Comparison]) -> Verdict:
    """Of several candidates."""
    return next(v for v in WORST_FIRST if v in {c.verdict for c in comparisons})
