"""`harness run`: measure a scenario, or finish an interrupted run, and write its reports."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.system import options
from harness.system.output import print_json

if TYPE_CHECKING:
    from harness.results.events import Observer
    from harness.run.execute import Ended
    from harness.scenario.spec.scenario import Scenario


@click.command()
@options.scenario
@options.overrides
@options.output
@options.resume
@click.option("--dry-run", is_flag=True, help="Print the points and a time estimate; run nothing.")
@options.quiet
@options.events
@options.metrics_port
@click.option(
    "--shard", metavar="K/N",
    help="Measure only the K-th of N parts of the rounds, K from 0, to be merged by `harness "
    "merge`; `auto/N` takes K of a Kubernetes Indexed Job or a SLURM array.",
)  # fmt: skip
@click.option(
    "--devices", metavar="DEVICES",
    help="Measure on several devices of this host side by side, each round on one: cuda:0,cuda:1, "
    "all, or cpus:N without a GPU.",
)  # fmt: skip
@click.option(
    "--trial/--no-trial", default=None,
    help="With --devices: try first whether points are slower beside the other lanes, and measure "
    "those one at a time. Default: where that takes little of the run.",
)  # fmt: skip
@click.option("--report/--no-report", "report", default=True, help="Write HTML, PDF and CSVs.")
def command(
    scenario: Path | None, overrides: tuple[str, ...], output: Path | None, resume: Path | None,
    dry_run: bool, quiet: bool, as_json: bool, report: bool, metrics_port: str | None,
    shard: str | None, devices: str | None, trial: bool | None,
) -> int:  # fmt: skip
    """Measure SCENARIO and write its report.

    Exit codes: 0 fine; 1 a point failed; 2 the scenario is wrong; 3 this machine lacks
    something; 4 a measurement is invalid, or the constraints undecided; 5 the constraints are not
    held; 130 interrupted: go on with --resume.
    """
    from harness.errors import UsageError
    from harness.fleet.front import begin, go_on
    from harness.models.precision import in_own_precision
    from harness.scenario.reading.loader import load

    if resume is not None and output is not None:
        raise UsageError("--output does not go with --resume: the run stays where it is")
    if dry_run and scenario is None:
        raise UsageError("--dry-run needs a scenario file")
    if dry_run and (shard, devices) != (None, None):
        raise UsageError("--shard and --devices do not go with --dry-run: it is of the whole run")
    if resume is not None and (shard, devices) != (None, None):
        raise UsageError("--shard and --devices do not go with --resume: the run knows its own")
    if trial is not None and devices is None:
        raise UsageError("--trial goes with --devices")
    watch = _watch(quiet, as_json, metrics_port)
    if resume is not None and not dry_run:
        ended = go_on(resume, watch, path=scenario, overrides=overrides)
    elif scenario is None:
        raise UsageError("give a scenario file, or --resume DIR")
    elif dry_run:
        found = in_own_precision(load(scenario, overrides).scenario, scenario.resolve().parent)
        return _dry_run(found, as_json)
    else:
        ended = begin(load(scenario, overrides), output, watch, shard, devices, trial)
    if ended.interrupted:
        click.echo(ended.how_to_finish("run"), err=True)
    return finish(ended, quiet=quiet, as_json=as_json, report=report)


def _watch(
    quiet: bool, as_json: bool, metrics_port: str | None
) -> contextlib.AbstractContextManager[Observer]:
    """The display that fits the flags and, where a port is given, Prometheus beside it."""
    from harness.monitor.prometheus import exposed, parse_address
    from harness.run.live import observer

    if metrics_port is not None:
        parse_address(metrics_port)  # before a run directory is made

    @contextlib.contextmanager
    def watch() -> Iterator[Observer]:
        with (
            observer(quiet=quiet, as_json=as_json) as shown,
            exposed(shown, metrics_port) as watcher,
        ):
            yield watcher

    return watch()


def _dry_run(scenario: Scenario, as_json: bool) -> int:
    from harness.validate.overview import overview

    plan = overview(scenario)
    if as_json:
        print_json("dry-run", plan.to_json())
    else:
        click.echo("\n".join(plan.lines()))
    return 0


def finish(ended: Ended, *, quiet: bool, as_json: bool, report: bool) -> int:
    """Write the reports, print the table and the paths; the exit code."""
    from harness.run.execute import INTERRUPTED
    from harness.system.text import harness_command

    try:
        return _finish(ended, quiet=quiet, as_json=as_json, report=report)
    except KeyboardInterrupt:  # what was measured is in the run directory
        command = harness_command("report", ended.path)
        click.echo(f"interrupted; write the report with: {command}", err=True)
        return INTERRUPTED


def _finish(ended: Ended, *, quiet: bool, as_json: bool, report: bool) -> int:
    from harness.analysis.verdict import verdict
    from harness.report.build import ReportPaths, build_report
    from harness.report.outputs.terminal import terminal_summary
    from harness.results.events import Best
    from harness.results.store import read_run
    from harness.run.execute import INTERRUPTED
    from harness.system.console import wide_console

    data = read_run(directory := ended.path)
    files = build_report(directory) if report else ReportPaths()
    came = verdict(data)
    code, words = (INTERRUPTED, "interrupted") if ended.interrupted else (came.code, came.words)
    if as_json:
        paths = {"html": str(files.html), "pdf": str(files.pdf),
                 "csv": [str(c) for c in files.csvs], "json": str(files.json)}  # fmt: skip
        click.echo(json.dumps({"schema": "harness-run/1", "event": "finished",
                               "directory": str(directory),
                               "reports": paths if report else {}, "exit_code": code}))  # fmt: skip
        return code
    wide_console().print(terminal_summary(data, brief=quiet))
    click.echo(f"verdict: {words} (exit code {code})")
    click.echo(f"run directory: {directory}")
    for best in [e for e in data.rows(Best) if e.config][-1:]:
        click.echo(f"best config as a model directory: {directory / best.directory}")
    if report:
        click.echo(f"HTML report: {files.html}\nPDF report: {files.pdf}")
    return code
