"""`harness run`: measure a scenario, or finish an interrupted run, and write its reports."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import click

from harness.results.store import RunData
from harness.system.paths import cache_directory


def _measure(
    path: Path | None, overrides: tuple[str, ...], output: Path | None, resume: Path | None,
    quiet: bool, as_json: bool, metrics_port: str | None = None, name: str = "run",
) -> tuple[Path, bool]:  # fmt: skip
    """Run or resume; the run directory and whether it was interrupted. `name` is the subcommand."""
    from harness.cli.live import observer
    from harness.results.events import RunEnded, RunResumed, RunStarted
    from harness.results.manifest import utc_now
    from harness.run.orchestrator import Orchestrator, Paths
    from harness.run.prometheus import exposed, parse_address

    if metrics_port is not None:
        parse_address(metrics_port)  # before a run directory is made
    if resume is not None:
        scenario, base, store, done = _resume(resume, path, overrides)
    else:
        assert path is not None
        scenario, base, store, done = _create(path, overrides, output)
    paths = Paths(base=base, cache=cache_directory())
    interrupted = False
    with store, _sigterm_as_interrupt():
        store.append(RunResumed(utc_now()) if done else RunStarted(utc_now()))
        try:
            with (
                observer(quiet=quiet, as_json=as_json) as shown,
                exposed(shown, metrics_port) as watcher,
            ):
                Orchestrator(scenario, store, paths, watcher, done).run()
            store.append(RunEnded("complete", utc_now()))
        except KeyboardInterrupt:
            interrupted = True
            store.append(RunEnded("interrupted", utc_now()))
    if interrupted:
        click.echo(f"interrupted; finish it with: harness {name} --resume {store.path}", err=True)
    return store.path, interrupted


def _create(path: Path, overrides: tuple[str, ...], output: Path | None) -> tuple[Any, ...]:
    from harness.results.manifest import make_manifest
    from harness.results.store import RunStore
    from harness.scenario.reading.loader import load

    loaded = load(path, overrides)
    directory = output or _default_directory(loaded.scenario.scenario)
    manifest = make_manifest(loaded.scenario, loaded.text, path, list(overrides))
    return loaded.scenario, path.resolve().parent, RunStore.create(directory, manifest), None


def _resume(directory: Path, path: Path | None, overrides: tuple[str, ...]) -> tuple[Any, ...]:
    from harness.errors import RunDirectoryError
    from harness.results.manifest import check_resumable
    from harness.results.store import RunStore, read_run
    from harness.scenario.reading.loader import load, load_text

    manifest = read_run(directory).manifest
    written = Path(manifest["scenario_path"])
    if "scenario_folder" in manifest:  # so that it is found from any folder
        written = Path(manifest["scenario_folder"], written.name)
    then = tuple(manifest.get("overrides", ()))
    if path is not None or written.exists():
        scenario = load(path or written, overrides or then).scenario
    else:
        scenario = load_text(manifest["scenario_text"], str(written), written.parent, then)
    check_resumable(manifest, scenario)
    store, done = RunStore.resume(directory)
    if not done.manifest:
        raise RunDirectoryError(f"{directory} has an empty manifest")
    return scenario, (path or written).resolve().parent, store, done


def _default_directory(name: str) -> Path:
    import datetime

    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("reports") / f"{name}-{stamp}"


@contextlib.contextmanager
def _sigterm_as_interrupt() -> Iterator[None]:
    """SIGTERM and SIGHUP end a run as Ctrl-C does: cleanly, with a partial report."""

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    old = {s: signal.signal(s, interrupt) for s in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def outcome(data: RunData) -> int:
    """0 fine; 1 a point failed or none holds the constraints; 4 a point is invalid."""
    from harness.analysis.capacity import summarize_capacity
    from harness.analysis.summary import summarize

    rows = summarize(data.measurements, data.failures)
    capacities = summarize_capacity(data.capacities)
    if any(row.failures for row in rows) or any(c.limit == "target" and c.rate is None
                                                for c in capacities):  # fmt: skip
        return 1
    planned = [row for row in rows if not row.searched]  # a search tries what can't hold
    if any(not row.valid for row in planned) or any(c.limit == "client" for c in capacities):
        return 4
    return 0 if not planned or _constraints_hold(data, planned) else 1


def _constraints_hold(data: RunData, rows: list[Any]) -> bool:
    from harness.analysis.constraints import bounds_of, satisfies

    bounds = bounds_of(data.manifest["scenario"])
    return not bounds or any(satisfies(row, bounds) == "yes" for row in rows if row.valid)
