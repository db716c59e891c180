"""From two sides to verdicts: by blocks of one run, or by two runs and a known run effect.

Blocks: `harness.compare.verdicts`. Two stored runs: a run has luck of its own (where its memory
came to lie, what else the machine did that hour), which no number of rounds averages out. The
difference of the two runs' means on logs therefore has the variance 2 R + S (1/m + 1/n), where R is
the run effect's and S the round effect's variance, m and n the rounds. R comes from the machine's
calibration (`harness calibrate`), with as few degrees of freedom as that had runs to spare; so has
the t. Simulated in benchmarks/compare_runs.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.analysis.intervals import t_quantile
from harness.compare.result import PointResult, Row, Verdict
from harness.compare.side import BESIDE, CLOCK, Side, SidePoint
from harness.compare.verdicts import (
    INTERVAL_LEVEL,
    Float64,
    Judged,
    decide,
    holm,
    judge,
    t_test,
)
from harness.compare.verdicts import Verdict as MetricVerdict
from harness.scenario.metrics import PRIMARY, Metric
from harness.scenario.wording import signed

STORED_LEVEL = 0.05
"""Of two stored runs, which are looked at once."""
FEWEST_BUILDS = 5
"""Of an engine a side: what a builder chooses differs from build to build."""
CLOCKS_ALIKE = 0.01
"""Share by which the GPU's mean clock may differ before the verdict is confirmed in cycles."""
ENVIRONMENT_REASONS = frozenset({"environment", "missing_package", "setup", "died", "hung"})
"""Failures that may be this machine's fault rather than the version's."""
Pairs = dict[str, list[tuple[float, float]]]


@dataclass(frozen=True, slots=True)
class RunEffect:
    """How much whole runs, and rounds within one, differ on this machine; variances of logs."""

    run: Mapping[str, float]
    round: Mapping[str, float]
    runs: int
    """That it was learned from."""

    @classmethod
    def of(cls, calibration: Mapping[str, object] | None) -> RunEffect | None:
        """As `harness calibrate` kept it; None where it has none, or is of an earlier version."""
        if calibration is None or calibration.get("schema_version") != 2:
            return None
        spread = calibration.get("spread")
        if not isinstance(spread, dict) or not spread:
            return None
        return cls(
            {m: float(np.square(s["run"])) for m, s in spread.items()},
            {m: float(np.square(s["round"])) for m, s in spread.items()},
            int(str(calibration["runs"])),
        )


def judge_blocks(base: Side, candidate: Side) -> tuple[PointResult, ...]:
    """Every point that both have, by the blocks of their one run."""
    places = common(base, candidate)
    share = len(places) + (len(places) > 1)
    builds = _too_few_builds(base, candidate)

    def judged(a: SidePoint, b: SidePoint, metrics: Sequence[Metric]) -> Sequence[Judged]:
        return judge(paired(a, b, metrics), metrics, share)

    pairs = {p: _shared(base.points[p], candidate.points[p]) for p in places}
    return tuple(
        _confirmed(_point(p, a, b, judged, builds), a, b, share) for p, (a, b) in pairs.items()
    )


def _shared(a: SidePoint, b: SidePoint) -> tuple[SidePoint, SidePoint]:
    """Both with the rounds alone that both have, so that their means are of the same blocks."""

    def of(side: SidePoint, other: SidePoint) -> SidePoint:
        values = {
            key: {n: v for n, v in rounds.items() if n in other.values[key]}
            if other.values.get(key, {}).keys() & rounds.keys() else rounds
            for key, rounds in side.values.items()
        }  # fmt: skip
        return replace(side, values=values)

    return of(a, b), of(b, a)


def judge_stored(base: Side, candidate: Side, effect: RunEffect | None) -> tuple[PointResult, ...]:
    """Every point that both have, by the means of two runs."""
    places = common(base, candidate)
    share = len(places) + (len(places) > 1)
    reason = _too_few_builds(base, candidate)
    if effect is None:
        reason = (
            "how much whole runs differ on this machine is not known: harness calibrate learns it, "
            "or measure both in one run"
        )

    def judged(a: SidePoint, b: SidePoint, metrics: Sequence[Metric]) -> Sequence[Judged]:
        return between_runs(a.values, b.values, metrics, effect, STORED_LEVEL / share)

    return tuple(
        _point(place, base.points[place], candidate.points[place], judged, reason)
        for place in places
    )


def common(base: Side, candidate: Side) -> list[str]:
    """The places that both sides have, in the base's order."""
    return [place for place in base.points if place in candidate.points]


Judge = Callable[[SidePoint, SidePoint, Sequence[Metric]], Sequence[Judged]]


def _point(place: str, a: SidePoint, b: SidePoint, judged: Judge, open_: str) -> PointResult:
    """The verdict on one point; `open_` is why none may be decided."""
    if a.problem or b.problem:
        return _broken(place, a, b)
    metrics = [
        m for m in PRIMARY.values()
        if m.key in a.values and m.key in b.values and not (a.open_loop and m.key == "throughput")
    ]  # fmt: skip
    beside = [m for m in BESIDE.values() if m.name in a.values and m.name in b.values]
    rows = _rows(a, b, metrics, judged(a, b, metrics))
    extra = _rows(a, b, beside, [j for m in beside for j in judged(a, b, [m])])
    blocks = min((r.judged.blocks for r in rows), default=0)
    if not rows:
        return PointResult(place, Verdict.INVALID, reason="no metric was measured on both sides")
    if open_:
        rows = tuple(_undecided(row) for row in rows)
    verdict = of_metrics(r.judged.verdict for r in rows)
    why = open_ if verdict is Verdict.INCONCLUSIVE else ""
    return PointResult(place, verdict, rows, extra, blocks, why or _why_open(rows, verdict))


def _why_open(rows: Sequence[Row], verdict: Verdict) -> str:
    """In words, why metrics are not decided."""
    if verdict is not Verdict.INCONCLUSIVE:
        return ""
    open_ = [r for r in rows if r.judged.verdict is MetricVerdict.INCONCLUSIVE]
    names = ", ".join(r.metric.key for r in open_)
    if any(r.judged.needed is None for r in open_):
        return f"{names}: at this scatter no planned number of blocks would decide"
    return f"{names}: not decided yet"


def _broken(place: str, a: SidePoint, b: SidePoint) -> PointResult:
    """A point that one side could not run, or that can't be believed."""
    fails = b.reason and not a.problem and b.reason not in ENVIRONMENT_REASONS
    if fails and not b.values:
        reason = f"the candidate can't run it: {b.problem}"
        return PointResult(place, Verdict.REGRESSION, reason=reason)
    parts = [f"{n}: {p.problem}" for n, p in (("base", a), ("candidate", b)) if p.problem]
    return PointResult(place, Verdict.INVALID, reason="; ".join(parts))


def of_metrics(verdicts: Iterable[MetricVerdict]) -> Verdict:
    """A point's verdict: worse in any metric; else better in any; else whether all is equal."""
    found = set(verdicts)
    for verdict in (MetricVerdict.REGRESSION, MetricVerdict.IMPROVEMENT):
        if verdict in found:
            return Verdict(verdict)
    return Verdict.EQUIVALENT if found == {MetricVerdict.EQUIVALENT} else Verdict.INCONCLUSIVE


def _rows(
    a: SidePoint, b: SidePoint, metrics: Sequence[Metric], judged: Sequence[Judged]
) -> tuple[Row, ...]:
    by_key = {j.metric: j for j in judged}
    return tuple(
        Row(m, _mean(a.values[key_of(m)]), _mean(b.values[key_of(m)]), by_key[m.key])
        for m in metrics if m.key in by_key
    )  # fmt: skip


def key_of(metric: Metric) -> str:
    """Under which a side has it."""
    return metric.key if metric.primary else metric.name


def _mean(values: Mapping[int, float]) -> float:
    return math.exp(math.fsum(math.log(v) for v in values.values()) / len(values))


def paired(a: SidePoint, b: SidePoint, metrics: Iterable[Metric]) -> Pairs:
    """Both values of each block: a round in which both were measured and count."""
    found: Pairs = {}
    for metric in metrics:
        one, other = a.values.get(key_of(metric), {}), b.values.get(key_of(metric), {})
        blocks = [(v, other[n]) for n, v in sorted(one.items()) if n in other]
        if blocks:
            found[metric.key] = blocks
    return found


def _undecided(row: Row) -> Row:
    judged = replace(row.judged, verdict=MetricVerdict.INCONCLUSIVE, needed=None)
    return replace(row, judged=judged)


def _too_few_builds(base: Side, candidate: Side) -> str:
    fewest = min((s.builds for s in (base, candidate) if s.builds), default=FEWEST_BUILDS)
    if fewest >= FEWEST_BUILDS:
        return ""
    return (
        f"{fewest} engine{'s were' if fewest > 1 else ' was'} built on a side, and a builder's "
        f"choices differ from build to build: {FEWEST_BUILDS} are needed (`rebuild: true`)"
    )


# ------------------------------------------------------------------------------ clocks, all points


def _confirmed(result: PointResult, a: SidePoint, b: SidePoint, share: int) -> PointResult:
    """Where the GPU's clock differed, worse or better only if it is so in clock cycles too."""
    decided = (Verdict.REGRESSION, Verdict.IMPROVEMENT)
    ratio = _clock_ratio(a, b)
    if result.verdict not in decided or abs(math.log(ratio)) <= CLOCKS_ALIKE:
        return result
    metrics = [r.metric for r in result.rows]
    found = judge(paired(in_cycles(a), in_cycles(b), metrics), metrics, share)
    verdict = of_metrics(j.verdict for j in found)
    clocks = f"the GPU's clock differed by {signed(100 * (ratio - 1), '.1f')} %"
    if verdict is result.verdict:
        return replace(result, reason=f"{clocks}; in clock cycles the verdict is the same")
    reason = f"{clocks}, and in clock cycles it is {verdict}: lock the clocks"
    return replace(result, verdict=Verdict.INCONCLUSIVE, reason=reason)


def _clock_ratio(a: SidePoint, b: SidePoint) -> float:
    """The candidate's mean clock over the base's; 1 where one is not known."""
    if CLOCK not in a.values or CLOCK not in b.values:
        return 1.0
    return _mean(b.values[CLOCK]) / _mean(a.values[CLOCK])


def in_cycles(point: SidePoint) -> SidePoint:
    """Times and rates in the GPU's clock cycles."""
    clock = point.values[CLOCK]
    values = {
        key: {
            n: v / clock[n] if key == "throughput" else v * clock[n]
            for n, v in rounds.items() if n in clock
        }
        for key, rounds in point.values.items() if key in PRIMARY
    }  # fmt: skip
    return replace(point, values=values)


def pool(base: Side, candidate: Side, points: Sequence[PointResult]) -> tuple[Row, ...]:
    """One verdict on all points at once: the mean over the points of each block's log ratio.

    It is undecided where too few engines were built, or a point's clocks were not alike.
    """
    places = [p.place for p in points if p.rows]
    if len(places) < 2:
        return ()
    pairs: Pairs = {}
    for metric in PRIMARY.values():
        by_block = _mean_ratio([(base.points[p], candidate.points[p]) for p in places], metric)
        if by_block:
            pairs[metric.key] = [(1.0, ratio) for ratio in by_block]
    judged = judge(pairs, PRIMARY.values(), len(points) + 1)
    means = {j.metric: math.exp(-PRIMARY[j.metric].sign * j.shift) for j in judged}
    rows = tuple(Row(PRIMARY[j.metric], 1.0, means[j.metric], j) for j in judged)
    apart = any(
        abs(math.log(_clock_ratio(base.points[p], candidate.points[p]))) > CLOCKS_ALIKE
        for p in places
    )
    return tuple(map(_undecided, rows)) if apart or _too_few_builds(base, candidate) else rows


def _mean_ratio(points: Sequence[tuple[SidePoint, SidePoint]], metric: Metric) -> list[float]:
    """Of each block that every point has; empty where a point lacks the metric."""
    ratios = []
    for a, b in points:
        one, other = a.values.get(metric.key, {}), b.values.get(metric.key, {})
        if a.open_loop and metric.key == "throughput":
            return []
        ratios.append({n: math.log(other[n] / v) for n, v in one.items() if n in other})
    blocks = sorted(set[int].intersection(*(set(r) for r in ratios)))
    return [math.exp(math.fsum(r[n] for r in ratios) / len(ratios)) for n in blocks]


# ------------------------------------------------------------------------------------- stored runs


def between_runs(
    a: Mapping[str, Mapping[int, float]], b: Mapping[str, Mapping[int, float]],
    metrics: Sequence[Metric], effect: RunEffect | None, level: float,
) -> list[Judged]:  # fmt: skip
    """Two runs by their means; without a run effect there is neither an interval nor a verdict."""
    shifts, errors = {}, {}
    for metric in metrics:
        one, other = (_logs(side[key_of(metric)]) for side in (a, b))
        shifts[metric.key] = -metric.sign * float(other.mean() - one.mean())
        errors[metric.key] = _error(one, other, metric, effect)
    freedom = effect.runs - 1 if effect is not None else 1
    p_values = {key: t_test(shifts[key], errors[key], freedom) for key in shifts}
    adjusted = holm(p_values)
    return [
        _stored(m, shifts[m.key], errors[m.key], adjusted[m.key], freedom, level,
                min(len(a[key_of(m)]), len(b[key_of(m)])))
        for m in metrics
    ]  # fmt: skip


def _logs(values: Mapping[int, float]) -> Float64:
    return np.log(np.array(list(values.values()), np.float64))


def _error(one: Float64, other: Float64, metric: Metric, effect: RunEffect | None) -> float:
    """Standard error of the difference; infinite where the run effect is not known."""
    if effect is None or metric.key not in effect.run:
        return math.inf
    rounds = 0.0
    for logs in (one, other):
        own = float(logs.var(ddof=1)) if len(logs) > 1 else 0.0
        rounds += max(own, effect.round[metric.key]) / len(logs)
    return math.sqrt(2 * effect.run[metric.key] + rounds)


def _stored(
    metric: Metric, shift: float, error: float, p: float, freedom: int, level: float, rounds: int
) -> Judged:
    half = t_quantile(1 - INTERVAL_LEVEL / 2, freedom) * error
    verdict = decide(shift, half, p, level, math.log1p(metric.margin))
    return Judged(metric.key, verdict, shift, shift - half, shift + half, p, rounds, None)
