"""`harness run`: measure a scenario, or finish an interrupted run, and write its reports."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.run.execute import _measure, outcome

if TYPE_CHECKING:
    pass

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

    from harness.scenario.points import estimate, expand, left_out
    from harness.scenario.reading.loader import load

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


def _finish(directory: Path, *, quiet: bool, as_json: bool, report: bool) -> int:
    """Write the reports, print the table and the paths; the exit code."""
    import json

    from harness.results.events import Best
    from harness.results.store import read_run

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

        from harness.report.outputs.terminal import terminal_summary

        console = Console()
        if not console.is_terminal:
            console.width = PIPE_WIDTH
        console.print(terminal_summary(data))
    click.echo(f"run directory: {directory}")
    for best in [e for e in data.rows(Best) if e.config][-1:]:
        click.echo(f"best config as a model directory: {directory / best.directory}")
    for name in ("html", "pdf"):
        if name in paths:
            click.echo(f"{name.upper()} report: {paths[name]}")
    return code
