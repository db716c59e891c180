"""A scenario measured against itself: what a comparison on this machine is worth."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.analysis.calibrate import Calibration, calibrate, false_alarm_text
from harness.analysis.summary import summarize
from harness.errors import InconclusiveError, UsageError
from harness.results.calibration import FEWEST_REPEATS, write_calibration
from harness.results.store import read_run
from harness.run.execute import Ended, Watch, resume, start
from harness.scenario.points import expand
from harness.scenario.reading.loader import load
from harness.version import __version__


@dataclass(frozen=True, slots=True)
class Concluded:
    """The result, kept for this machine."""

    calibration: Calibration
    text: str
    """In two sentences."""
    path: Path
    """Where it is kept."""


def begin(
    scenario: Path, overrides: tuple[str, ...], repeats: int, output: Path | None, watch: Watch
) -> Ended:
    """Measure in 2 × `repeats` rounds. Raises UsageError when there is nothing to repeat."""
    rounds = (f"measurement.rounds={2 * repeats}", f"measurement.rounds_max={2 * repeats}")
    loaded = load(scenario, (*overrides, *rounds))
    if output is None and all(p.shape == "find_capacity" for p in expand(loaded.scenario)):
        raise UsageError(
            f"{scenario}: a capacity search can't be calibrated, its rates differ from round to "
            "round",
            fix="give fixed loads: --set load.find_capacity=null --set load.concurrency=[1]",
        )
    return start(loaded, output, watch, suffix="-calibrate")


def finish(directory: Path, settled: Mapping[str, object], watch: Watch) -> Ended:
    """Measure what is missing of a calibration.

    Raises UsageError for options of `settled` that were given, as they were settled when it began,
    and when `directory` is no calibration.
    """
    for name, value in settled.items():
        if value:
            raise UsageError(f"{name} does not go with --resume: it is as it was begun")
    measurement = read_run(directory).scenario.get("measurement") or {}
    rounds = measurement.get("rounds")
    repeats = rounds // 2 if isinstance(rounds, int) and rounds % 2 == 0 else 0
    if rounds != measurement.get("rounds_max") or repeats < FEWEST_REPEATS:
        raise UsageError(
            f"{directory} is no calibration", fix=f"harness run --resume {directory} finishes a run"
        )
    return resume(directory, watch)


def conclude(directory: Path) -> Concluded:
    """Compare every point with itself, and keep the result for this machine's later reports.

    Raises InconclusiveError when nothing can be compared.
    """
    data = read_run(directory)
    found = calibrate(summarize(data.measurements, data.failures))
    if not found.tests:
        raise InconclusiveError(
            "no point is valid in at least eight rounds, so nothing can be compared",
            fix=f"harness report {directory} says what is wrong with each point",
        )
    result = {
        "created": data.manifest.get("created"), "harness_version": __version__,
        "scenario": data.scenario.get("scenario"), "run": str(directory.resolve()),
        **found.to_json(),
    }  # fmt: skip
    path = write_calibration(data.manifest.get("machine") or {}, result)
    return Concluded(found, false_alarm_text(result), path)
