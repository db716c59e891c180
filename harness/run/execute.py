"""A run from its beginning to its exit code: what the command line and the Python API call."""

from __future__ import annotations

import datetime
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from harness.errors import HarnessError, RunDirectoryError
from harness.models.precision import in_own_precision
from harness.report.build import ReportPaths, build_report, require_formats
from harness.report.model.section import Section
from harness.results.events import Note, Observer, RunEnded, RunResumed, RunStarted, Status
from harness.results.manifest import check_resumable, differences, make_manifest, utc_now
from harness.results.store import RunData, RunStore, read_run
from harness.run.environments import Interpreter, make_environments
from harness.run.interruption import Interruption
from harness.run.orchestrator import Orchestrator, Paths
from harness.run.rounds import Extra
from harness.run.shard import Shard, shard_of
from harness.scenario.reading.loader import LoadedScenario, load, load_text
from harness.scenario.spec.scenario import Scenario
from harness.search.best_config import write_best
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.system.text import harness_command

INTERRUPTED = 130
"""Exit code of a run that was interrupted, as shells give it for the signal."""
Watch = AbstractContextManager[Observer]
"""Entered once the run directory is there: whom to tell what goes on."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that is over, or interrupted and can be resumed."""

    path: Path
    interrupted: bool

    def how_to_finish(self, command: str) -> str:
        """What to tell the user of an interrupted one; `command` is the subcommand."""
        return f"interrupted; finish it with: {harness_command(command, '--resume', self.path)}"


def start(
    loaded: LoadedScenario, output: Path | None, watch: Watch, extra: Extra | None = None,
    shard: Shard | None = None,
) -> Ended:  # fmt: skip
    """Measure a scenario, or a shard of it, into the new run directory `output`, by default
    reports/SCENARIO-TIME.

    Raises RunDirectoryError when it holds something or can't be written, UsageError for a shard of
    what can't be shared out.
    """
    scenario = in_own_precision(loaded.scenario, loaded.path.resolve().parent)
    shard = shard or Shard()
    shard.check(scenario)
    directory = output or default_directory(scenario.scenario)
    manifest = make_manifest(scenario, loaded.text, loaded.path, list(loaded.overrides))
    if not shard.whole:
        manifest["shard"] = {**asdict(shard), "cpus": sorted(os.sched_getaffinity(0)),
                             "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "")}  # fmt: skip
    store = RunStore.create(directory, manifest)
    return _measure(scenario, loaded.path.resolve().parent, store, None, watch, extra, shard)


def resume(
    directory: Path, watch: Watch, *, path: Path | None = None, overrides: Sequence[str] = (),
    extra: Extra | None = None,
) -> Ended:  # fmt: skip
    """Measure what is missing in a run directory.

    The scenario is read again where it was, or from `path`, or else from the manifest. Raises
    RunDirectoryError when it, the machine or the packages are not those of the run.
    """
    scenario, base = reread(directory, path, overrides)
    store, done = RunStore.resume(directory)
    return _measure(scenario, base, store, done, watch, extra, shard_of(done.manifest))


def reread(
    directory: Path, path: Path | None = None, overrides: Sequence[str] = (), kind: str = ""
) -> tuple[Scenario, Path]:
    """The scenario of a run directory, if the run can go on here, and the scenario's folder; of one
    that is of `harness run`, or of another `kind`.
    """
    manifest = read_run(directory).manifest
    if "shards" in manifest:
        raise RunDirectoryError(
            f"{directory} is made of several run directories: nothing more is measured into it",
            fix="resume those, and merge them again",
        )
    if (found := manifest.get("kind", "")) != kind:
        raise RunDirectoryError(
            f"{directory} is of `harness {found or 'run'}`, and can't be resumed as another"
        )
    written = path or Path(_written(directory, manifest, "scenario_path"))
    if path is None and "scenario_folder" in manifest:  # so that it is found from any folder
        written = Path(manifest["scenario_folder"], written.name)
    sets = tuple(overrides or manifest.get("overrides", ()))
    if path is not None or written.exists():
        scenario = load(written, sets).scenario
    else:
        text = _written(directory, manifest, "scenario_text")
        scenario = load_text(text, str(written), written.parent, sets)
    scenario = in_own_precision(scenario, written.resolve().parent)
    check_resumable(manifest, scenario)
    return scenario, written.resolve().parent


def _written(directory: Path, manifest: Mapping[str, object], key: str) -> str:
    if key not in manifest:
        raise RunDirectoryError(f"{directory} can't be resumed: its manifest has no `{key}`")
    return str(manifest[key])


def default_directory(name: str) -> Path:
    """Where what is called `name` and begins now is written."""
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("reports") / f"{name}-{stamp}"


def _measure(
    scenario: Scenario, base: Path, store: RunStore, done: RunData | None, watch: Watch,
    extra: Extra | None, shard: Shard,
) -> Ended:  # fmt: skip
    with store, Interruption() as interruption, temporary_folder():
        store.append(RunResumed(utc_now()) if done else RunStarted(utc_now()))
        with interruption.during(), watch as observer:
            for text in done.damage if done else ():
                store.append(note := Note(text))
                observer(note)
            paths = _paths(scenario, base, store, done, observer)
            check = interruption.check
            Orchestrator(scenario, store, paths, observer, done, check, extra, shard).run()
        store.append(RunEnded("interrupted" if interruption.early else "complete", utc_now()))
    return Ended(store.path, interruption.early)


def _paths(
    scenario: Scenario, base: Path, store: RunStore, done: RunData | None, observer: Observer
) -> Paths:
    """Where things are, the environments made; what is in them goes to the manifest.

    Raises RunDirectoryError where a run that goes on had other packages in them.
    """
    cache, log = cache_directory(), store.path / "logs" / "environments.log"
    made = make_environments(
        scenario, base, cache, log, lambda text: observer(Status(text).outward())
    )
    locks = {name: i.to_json() for name, i in made.items() if isinstance(i, Interpreter)}
    before = done.manifest.get("environments", {}) if done else {}
    for name, lock in locks.items():
        if changes := differences(before.get(name, lock), lock, name):
            raise RunDirectoryError(
                f"the run can't be resumed, an environment has changed: {'; '.join(changes[:3])}",
                fix="start a new run, without --resume",
            )
    if made:
        store.annotate("environments", {**before, **locks})
    return Paths(base, cache, made)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What `rebuild` wrote."""

    report: ReportPaths
    best: Path | None
    """Of a search: the best config as a model directory."""
    why_not: str
    """Why a search has none; empty where nothing was searched."""
    damage: tuple[str, ...]
    """What in the run directory could not be read, and was left out."""


def rebuild(
    run_dir: Path, output: Path | None, formats: Collection[str], *, full: bool = False,
    more: Sequence[Section] = (),
) -> Rebuilt:  # fmt: skip
    """The reports of a run directory again, with `more` sections, and of a search the best config.

    Raises RunDirectoryError when it is none, UsageError on an unknown format.
    """
    require_formats(formats)
    data = read_run(run_dir)
    paths = build_report(run_dir, output=output, formats=formats, full=full, more=more, data=data)
    best, why_not = None, ""
    if any("settings" in row.details for row in data.loads):
        try:
            found = write_best(data, output)
        except HarnessError as error:  # files that it is made of are gone
            why_not = f"the best config was not written again: {error.message}"
        else:
            best = (output or run_dir) / found.directory if found.config else None
            why_not = "" if best else f"no best config: {found.why}"
    return Rebuilt(paths, best, why_not, data.damaged)
