"""A finding's change, measured: the backend before and after it, through the normal core."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from harness.analysis.differences import Differences
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import UsageError
from harness.profile import store as files
from harness.profile.result import Finding, Profile, Tried
from harness.results.events import Observer
from harness.results.store import RunData, read_run
from harness.run import execute
from harness.scenario.reading.loader import LoadedScenario, load_text

ROUNDS = {"profile": "quick", "rounds": "6", "window": "1s", "warmup": "300ms",
          "window_requests": "11", "window_max": "10s"}  # fmt: skip
"""Short rounds, each in fresh processes; what `--set` says of the measurement goes before."""
Watch = Callable[[], AbstractContextManager[Observer]]


def chosen(profile: Profile, asked: str) -> list[Finding]:
    """The findings that `--try` names: `all`, or numbers with commas. Raises UsageError."""
    if asked == "all":
        return list(profile.findings)
    by_number = {str(f.number): f for f in profile.findings}
    numbers = [part.strip() for part in asked.split(",") if part.strip()]
    unknown = [n for n in numbers if n not in by_number]
    if unknown or not numbers:
        wrong = f"there is no finding {unknown[0]}" if unknown else "no finding is named"
        many = f"1 to {len(by_number)}" if by_number else "none: nothing was found to save time"
        raise UsageError(f"--try {asked}: {wrong}", fix=f"the findings are {many}; `all` tries all")
    return [by_number[n] for n in numbers]


def try_findings(
    directory: Path, asked: Sequence[Finding], overrides: Sequence[str], watch: Watch
) -> Profile:
    """Measure each, and write what came of it into the profile. Raises KeyboardInterrupt."""
    loaded, profile = files.loaded_of(directory), files.read_profile(directory)
    for finding in asked:
        there = _new(directory / files.TRIES, f"{finding.number}-{finding.change}")
        ended = execute.start(scenario_of(loaded, profile, finding, overrides), there, watch())
        if ended.interrupted:
            raise KeyboardInterrupt
        tried = judge(read_run(there), finding, str(there.relative_to(directory)))
        profile = replace(profile, findings=[
            replace(f, tried=tried) if f.number == finding.number else f for f in profile.findings
        ])  # fmt: skip
        files.save(directory, profile)
    return profile


def scenario_of(
    loaded: LoadedScenario, profile: Profile, finding: Finding, overrides: Sequence[str]
) -> LoadedScenario:
    """The scenario with the two sides alone. Raises ScenarioError, as for any scenario."""
    before = next(b.settings for b in profile.backends if b.name == finding.backend)
    two = [{k: v for k, v in before.items() if v is not None}]
    two += [dict(finding.settings)] if finding.settings else []
    batches = [finding.batch, *([finding.to_batch] if finding.to_batch else [])]
    said = {k: v for k, _, v in (s.partition("=") for s in (*loaded.overrides, *overrides))}
    rounds = said.get("measurement.rounds", ROUNDS["rounds"])
    short = {**ROUNDS, "rounds_max": rounds}
    sets = (
        *loaded.overrides, *overrides, f"backends={json.dumps(two)}",
        f"load={json.dumps({'batch_sizes': batches, 'concurrency': [1]})}",
        *(f"measurement.{k}={v}" for k, v in short.items() if f"measurement.{k}" not in said),
    )  # fmt: skip
    found = load_text(loaded.text, str(loaded.path), loaded.path.parent, sets)
    return LoadedScenario(found, loaded.text, loaded.path, sets)


def _new(folder: Path, name: str) -> Path:
    """A folder that is not there yet."""
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, 10_000))
    return next(folder / n for n in names if not (folder / n).exists())


def judge(data: RunData, finding: Finding, run: str) -> Tried:
    """The saving of an item's time with its 95 % interval over rounds, or why there is none."""
    rows = summarize(data.measurements, data.failures)
    before = _row(rows, finding.backend, finding.batch)
    after_name = str(finding.settings.get("name") or finding.backend)
    after = _row(rows, after_name, finding.to_batch or finding.batch)
    if before is None or after is None or not (before.valid and after.valid):
        return Tried(run, None, why=_why_not([(before, "before"), (after, "after")]))
    factor = Differences(rows).advantage(after, before, THROUGHPUT)
    if factor is None:
        return Tried(run, None, why="a round has no throughput")
    rounds = min(before.rounds, after.rounds)
    low, high = (None if end is None else 1 - 1 / end for end in (factor.low, factor.high))
    why = "" if low is not None else "one round has no interval"
    return Tried(run, 1 - 1 / factor.value, low, high, why, rounds)


def _row(rows: Iterable[SummaryRow], backend: str, batch: int) -> SummaryRow | None:
    found = (r for r in rows if r.backend == backend and r.batch_size == batch)
    return next(found, None)


def _why_not(sides: Iterable[tuple[SummaryRow | None, str]]) -> str:
    for row, side in sides:
        if row is None:
            return f"{side} the change nothing was measured"
        if row.failures:
            return f"{side} the change: {row.failures[0].message}"
        if not row.valid:
            return f"{side} the change the point is invalid: {', '.join(row.flags)}"
    return ""


def words(finding: Finding) -> str:
    """What was measured, beside what was predicted; empty where it was not tried."""
    tried = finding.tried
    if tried is None:
        return ""
    if tried.saving is None:
        return f"could not be judged: {tried.why}"
    if tried.low is None or tried.high is None:
        return f"saved {tried.saving:z.0%}, without an interval"
    said = f"saved {tried.saving:z.1%} [{tried.low:z.1%}, {tried.high:z.1%}]"
    return f"{said}, {_against(finding.saving, tried.low, tried.high)}"


def _against(most: float, low: float, high: float) -> str:
    if low > most:
        return "more than the bound: the change does something that the profile does not show"
    if high < 0:
        return "it costs time here"
    return "nothing that can be told from noise" if low <= 0 else "within the bound"
