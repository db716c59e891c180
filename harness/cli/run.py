"""`harness run`: measure a scenario, or finish an interrupted run, and write its reports."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from harness.run.store import RunData

INTERRUPTED = 130
PIPE_WIDTH = 140
"""Columns of the summary where no terminal sets them."""


@click.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Override a value: --set load.concurrency=[1,2]",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    help="Run directory. Default: reports/SCENARIO-TIME",
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Finish the run in DIR; measures only what is missing.",
)
@click.option("--dry-run", is_flag=True, help="Print the points and a time estimate; run nothing.")
@click.option(
    "--quiet", "-q", is_flag=True, help="Print nothing but errors and the report's paths."
)
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON.")
@click.option(
    "--metrics-port",
    metavar="[ADDRESS:]PORT",
    help="Serve the live run's metrics to Prometheus; on 127.0.0.1 unless an address is given.",
)
@click.option("--report/--no-report", "report", default=True, help="Write HTML, PDF and CSVs.")
def command(
    scenario: Path | None, overrides: tuple[str, ...], output: Path | None, resume: Path | None,
    dry_run: bool, quiet: bool, as_json: bool, report: bool, metrics_port: str | None,
) -> None:  # fmt: skip
    """Measure SCENARIO and write its report.

    Exit codes: 0 fine; 1 a point failed or no point holds the constraints; 2 the scenario is
    wrong; 3 this machine lacks something; 4 a measurement is invalid; 130 interrupted: go on
    with --resume.
    """
    from harness.errors import UsageError

    if scenario is None and resume is None:
        raise UsageError("give a scenario file, or --resume DIR")
    if resume is not None and output is not None:
        raise UsageError("--output does not go with --resume: the run stays where it is")
    if dry_run:
        if scenario is None:
            raise UsageError("--dry-run needs a scenario file")
        return _dry_run(scenario, overrides, as_json)
    directory, interrupted = _measure(
        scenario, overrides, output, resume, quiet, as_json, metrics_port
    )
    code = _finish(directory, quiet=quiet, as_json=as_json, report=report)
    raise SystemExit(INTERRUPTED if interrupted else code)


def _dry_run(path: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    import json

    from harness.scenario.expand import estimate, expand, left_out
    from harness.scenario.loader import load

    scenario = load(path, overrides).scenario
    points, seconds = expand(scenario), estimate(scenario)
    rounds = scenario.measurement.rounds
    if as_json:
        data = {"points": [p.id for p in points], "rounds": rounds, "estimate_s": seconds,
                "left_out": left_out(scenario), "search": scenario.search.method}  # fmt: skip
        click.echo(json.dumps(data, indent=2))
        return
    for point in points:
        click.echo(point.id)
    for text in left_out(scenario):
        click.echo(f"note: {text}")
    if scenario.search.method in ("quick", "bayesian"):
        click.echo(f"search: {scenario.search.method} measures only some of these configs")
    click.echo(
        f"{len(points)} points × {rounds} rounds, at least {int(seconds // 60)}:"
        f"{int(seconds % 60):02d} (slow points extend their window, at most to window_max)"
    )


def _measure(
    path: Path | None, overrides: tuple[str, ...], output: Path | None, resume: Path | None,
    quiet: bool, as_json: bool, metrics_port: str | None = None, name: str = "run",
) -> tuple[Path, bool]:  # fmt: skip
    """Run or resume; the run directory and whether it was interrupted. `name` is the subcommand."""
    from harness.cli.live import observer
    from harness.run.metrics import exposed, parse_address
    from harness.run.orchestrator import Orchestrator, Paths

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
        store.append({"event": "run_resumed" if done else "run_started", **_now()})
        try:
            with (
                observer(quiet=quiet, as_json=as_json) as shown,
                exposed(shown, metrics_port) as watcher,
            ):
                Orchestrator(scenario, store, paths, watcher, done).run()
            store.append({"event": "run_ended", "status": "complete", **_now()})
        except KeyboardInterrupt:
            interrupted = True
            store.append({"event": "run_ended", "status": "interrupted", **_now()})
    if interrupted:
        click.echo(f"interrupted; finish it with: harness {name} --resume {store.path}", err=True)
    return store.path, interrupted


def _create(path: Path, overrides: tuple[str, ...], output: Path | None) -> tuple[Any, ...]:
    from harness.run.manifest import make_manifest
    from harness.run.store import RunStore
    from harness.scenario.loader import load

    loaded = load(path, overrides)
    directory = output or _default_directory(loaded.scenario.scenario)
    manifest = make_manifest(loaded.scenario, loaded.text, path, list(overrides))
    return loaded.scenario, path.resolve().parent, RunStore.create(directory, manifest), None


def _resume(directory: Path, path: Path | None, overrides: tuple[str, ...]) -> tuple[Any, ...]:
    from harness.errors import RunDirectoryError
    from harness.run.manifest import check_resumable
    from harness.run.store import RunStore, read_run
    from harness.scenario.loader import load, load_text

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


def cache_directory() -> Path:
    """Where exported models are kept: $XDG_CACHE_HOME/inference-harness, by default ~/.cache."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "inference-harness"


def _now() -> dict[str, str]:
    from harness.run.manifest import utc_now

    return {"time": utc_now()}


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


def _finish(directory: Path, *, quiet: bool, as_json: bool, report: bool) -> int:
    """Write the reports, print the table and the paths; the exit code."""
    import json

    from harness.run.store import read_run

    data = read_run(directory)
    paths = {}
    if report:
        from harness.report.build import build_report

        built = build_report(directory)
        paths = {
            "html": str(built.html),
            "pdf": str(built.pdf),
            "csv": [str(c) for c in built.csvs],
        }
    code = outcome(data)
    if as_json:
        click.echo(json.dumps({"event": "finished", "directory": str(directory),
                               "reports": paths, "exit_code": code}))  # fmt: skip
        return code
    if not quiet:
        from rich.console import Console

        from harness.report.table import terminal_summary

        console = Console()
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(terminal_summary(data))
    click.echo(f"run directory: {directory}")
    for best in [e for e in data.events if e["event"] == "best" and e["config"]][-1:]:
        click.echo(f"best config as a model directory: {directory / best['directory']}")
    for name in ("html", "pdf"):
        if name in paths:
            click.echo(f"{name.upper()} report: {paths[name]}")
    return code


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
