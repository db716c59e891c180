"""The ways to compare: two backends of a run, a run against another, a run against a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.compare.comparable import changed, output_drift, outputs_said, refusals, unequal
from harness.compare.judging import RunEffect, common, judge_blocks, judge_stored, pool
from harness.compare.result import Comparison, PointResult, Row
from harness.compare.side import Side, backends_of, both, choose, side_of
from harness.errors import UsageError
from harness.results.calibration import read_calibration
from harness.results.store import RunData, read_run

ONE_RUN = "blocks of one run: each round measured both, in balanced order"
IN_TURNS = "blocks of one run: in each round both were loaded, and measured in turns of {}"
STORED = "stored runs, each measured as a whole"


def within(data: RunData, base: str | None, candidate: str | None) -> Comparison:
    """Two backends of one run. Raises UsageError where they are not said, or not there."""
    names = both(backends_of(data), base, candidate)
    one, other = (side_of(data, name) for name in names)
    each = 2 / max(2, len(backends_of(data)))  # other backends take their part of a round
    one, other = (replace(s, minutes_per_round=s.minutes_per_round * each) for s in (one, other))
    points = judge_blocks(one, other)
    if not points:
        raise UsageError(f"{names[0]} and {names[1]} have no point in common in {data.path}")
    return _comparison(one, other, _design(data), points, pool(one, other, points))


def _design(data: RunData) -> str:
    turn = (data.scenario.get("measurement") or {}).get("interleave")
    in_turns = any("turns" in row.details for row in data.measurements)
    return IN_TURNS.format(turn) if in_turns else ONE_RUN


def stored(base: Side, candidate: Side, effect: RunEffect | None, *, force: bool) -> Comparison:
    """Two runs. Raises UsageError where they are not comparable, unless `force`."""
    reasons = refusals(base, candidate)
    if (reasons and not force) or not common(base, candidate):
        more = f" (and {len(reasons) - 3} more)" if len(reasons) > 3 else ""
        raise UsageError(
            f"{base.where} and {candidate.where} are not comparable: "
            f"{'; '.join(reasons[:3])}{more}",
            fix="compare them in one run: harness compare SCENARIO --base … --candidate …; or "
            "--force, which is then said everywhere",
        )
    points = judge_stored(base, candidate, effect)
    found = _comparison(base, candidate, STORED, points, ())
    return replace(found, forced=tuple(reasons))


def _comparison(
    base: Side,
    candidate: Side,
    design: str,
    points: tuple[PointResult, ...],
    pooled: tuple[Row, ...],
) -> Comparison:
    alone = sorted(set(base.points) ^ set(candidate.points))
    return Comparison(
        base, candidate, design, points, pooled, tuple(unequal(base, candidate)),
        changed(base, candidate), drift=output_drift(base, candidate),
        outputs=tuple(outputs_said(base, candidate)), left_out=tuple(alone),
    )  # fmt: skip


def stored_runs(
    paths: Sequence[Path], base: str | None, candidate: str | None, *, force: bool
) -> list[Comparison]:
    """The first run against each of the others. Raises UsageError, RunDirectoryError."""
    for path in paths[1:]:
        if path.resolve() == paths[0].resolve():
            fix = "give two runs; or one, with --base and --candidate, for two of its backends"
            raise UsageError(f"{path} would be compared with itself", fix=fix)
    runs = [read_run(path) for path in paths]
    first = _stored_side(runs[0], base, "--base")
    return [
        stored(first, _stored_side(run, candidate, "--candidate"), known_effect(run), force=force)
        for run in runs[1:]
    ]


def against(baseline: Side, data: RunData, candidate: str | None, *, force: bool) -> Comparison:
    """A run against a baseline. Raises UsageError."""
    side = _stored_side(data, candidate, "--candidate")
    return stored(baseline, side, known_effect(data), force=force)


def _stored_side(data: RunData, wanted: str | None, option: str) -> Side:
    """One backend of a run that is said, or its only one; else all of them, by their names."""
    backends = backends_of(data)
    if wanted is not None:
        return side_of(data, choose(backends, wanted, option), data.path.name)
    only = str(backends[0].get("name")) if len(backends) == 1 else None
    return side_of(data, only, data.path.name)


def known_effect(data: RunData) -> RunEffect | None:
    """From the calibration in the run's manifest, or one that was made since on such a machine."""
    machine: Mapping[str, object] = data.manifest.get("machine") or {}
    return RunEffect.of(data.manifest.get("calibration")) or RunEffect.of(read_calibration(machine))


def side_for_baseline(data: RunData, backend: str | None) -> Side:
    """The side that a baseline keeps. Raises UsageError."""
    return _stored_side(data, backend, "--candidate")
