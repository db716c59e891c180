"""A scenario measured against itself in several runs: what a comparison on this machine is worth.

The directory of a calibration holds `plan.json` and a run directory for each of its runs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.analysis.calibrate import calibration_text
from harness.analysis.summary import summarize
from harness.compare.effects import Calibration, calibrate
from harness.errors import InconclusiveError, RunDirectoryError, SetupError, UsageError
from harness.results.calibration import SCHEMA_VERSION, calibration_path, hardware
from harness.results.events import RunEnded
from harness.results.store import read_run
from harness.run.execute import Ended, Watch, default_directory, reread, resume, start
from harness.scenario.points import expand
from harness.scenario.reading.loader import LoadedScenario, load
from harness.system.files import jsonable, read_bytes, write_text
from harness.system.text import harness_command
from harness.version import __version__

PLAN = "plan.json"
Watches = Callable[[], Watch]
"""Makes one for each run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a calibration was begun."""

    runs: int
    repeats: int
    """Rounds of half a run."""
    pause_s: float = 0.0
    """Between two runs."""


@dataclass(frozen=True, slots=True)
class Concluded:
    """The result, kept for this machine."""

    calibration: Calibration
    text: str
    """In a few sentences."""
    path: Path
    """Where it is kept."""

    def to_json(self, runs: Path) -> dict[str, object]:
        """All of it as data; `runs` is the directory of the runs."""
        tests = [
            {"point": t.point, "halves": asdict(t.halves), "runs": asdict(t.runs)}
            for t in self.calibration.tests
        ]
        return {
            "answer": self.text, "directory": str(runs), "kept": str(self.path), "tests": tests,
            "left_out": list(self.calibration.left_out),
        }  # fmt: skip


def begin(
    scenario: Path, overrides: tuple[str, ...], plan: Plan, output: Path | None, watches: Watches
) -> Ended:
    """Measure the runs, each in processes of its own.

    Raises UsageError when there is nothing to repeat, RunDirectoryError when `output` holds
    something or can't be written.
    """
    rounds = 2 * plan.repeats
    sets = (f"measurement.rounds={rounds}", f"measurement.rounds_max={rounds}")
    loaded = load(scenario, (*overrides, *sets))
    if output is None and all(p.shape == "find_capacity" for p in expand(loaded.scenario)):
        raise UsageError(
            f"{scenario}: a capacity search can't be calibrated, its rates differ from round to "
            "round",
            fix="give fixed loads: --set load.find_capacity=null --set load.concurrency=[1]",
        )
    directory = output or default_directory(f"{loaded.scenario.scenario}-calibrate")
    try:
        if directory.exists() and any(directory.iterdir()):
            raise RunDirectoryError(f"{directory} is not empty", fix="give another --output")
        directory.mkdir(parents=True, exist_ok=True)
        write_text(directory / PLAN, json.dumps(asdict(plan)) + "\n")
    except OSError as error:
        raise RunDirectoryError(
            f"{directory} can't be written: {error.strerror}", fix="give another --output"
        ) from error
    return _measure(directory, plan, loaded, watches)


def finish(directory: Path, settled: Mapping[str, object], watches: Watches) -> Ended:
    """Measure what is missing of a calibration.

    Raises UsageError for options of `settled` that were given, as they were settled when it began,
    and when `directory` is no calibration.
    """
    for name, value in settled.items():
        if value:
            raise UsageError(f"{name} does not go with --resume: it is as it was begun")
    plan, first = read_plan(directory), _run(directory, 1)
    scenario, folder = reread(first)
    manifest = read_run(first).manifest
    path = folder / Path(manifest["scenario_path"]).name
    sets = tuple(manifest.get("overrides", ()))
    loaded = LoadedScenario(scenario, manifest.get("scenario_text", ""), path, sets)
    return _measure(directory, plan, loaded, watches)


def read_plan(directory: Path) -> Plan:
    """How it was begun. Raises UsageError when `directory` is no calibration."""
    try:
        return Plan(**json.loads(read_bytes(directory / PLAN)))
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(
            f"{directory} is no calibration: it has no {PLAN} that can be read",
            fix=f"{harness_command('run', '--resume', directory)} finishes a run; a calibration "
            "by an earlier version was one run, and has to be begun anew",
        ) from error


def _run(directory: Path, number: int) -> Path:
    return directory / f"run-{number}"


def _measure(directory: Path, plan: Plan, loaded: LoadedScenario, watches: Watches) -> Ended:
    for number in range(1, plan.runs + 1):
        run = _run(directory, number)
        begun = (run / "manifest.json").exists()
        if begun and [e.status for e in read_run(run).rows(RunEnded)][-1:] == ["complete"]:
            continue
        try:
            time.sleep(plan.pause_s if number > 1 and not begun else 0.0)
        except KeyboardInterrupt:
            return Ended(directory, interrupted=True)
        ended = resume(run, watches()) if begun else start(loaded, run, watches())
        if ended.interrupted:
            return Ended(directory, interrupted=True)
    return Ended(directory, interrupted=False)


def conclude(directory: Path) -> Concluded:
    """Compare every point with itself, and keep the result for this machine's later reports.

    Raises InconclusiveError when nothing can be compared.
    """
    plan = read_plan(directory)
    every = [read_run(_run(directory, number)) for number in range(1, plan.runs + 1)]
    summaries = [summarize(data.measurements, data.failures) for data in every]
    found = calibrate(summaries, 2 * plan.repeats)
    if not found.tests:
        raise InconclusiveError(
            "no point is valid in at least eight rounds of every run, so nothing can be compared",
            fix=f"{harness_command('report', _run(directory, 1))} says what is wrong with "
            "each point",
        )
    first = every[0]
    result = {
        "created": first.manifest.get("created"), "harness_version": __version__,
        "scenario": first.scenario.get("scenario"), "run": str(directory.resolve()),
        **found.to_json(),
    }  # fmt: skip
    path, kept = write_calibration(first.manifest.get("machine") or {}, result)
    return Concluded(found, calibration_text(kept), path)


def write_calibration(
    machine: Mapping[str, Any], result: Mapping[str, Any]
) -> tuple[Path, dict[str, Any]]:
    """Keep `result` as the machine's calibration; where, and what is kept.

    Raises SetupError when it can't.
    """
    path = calibration_path(machine)
    data = {"schema_version": SCHEMA_VERSION, "machine": hardware(machine), **result}
    try:
        write_text(path, json.dumps(jsonable(data), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise SetupError(
            f"{path} can't be written: {error.strerror}",
            fix="set XDG_DATA_HOME to a folder that can be written",
        ) from error
    return path, data
