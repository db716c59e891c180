"""`harness history`: many runs in one file, and where their level changed."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options
from harness.system.output import print_json

database = click.option(
    "--database",
    type=options.OUTPUT,
    help="The SQLite file. Default: history.sqlite in the data folder.",
)


@click.group()
def command() -> None:
    """Keep the values of many runs, and find out where they changed."""


@command.command("add")
@click.argument("runs", nargs=-1, required=True, type=options.PATH)
@database
@options.as_json
def add(runs: tuple[Path, ...], database: Path | None, as_json: bool) -> int:
    """Put RUNS into the history; one that is there already is not added again."""
    from harness.compare.history import add as put
    from harness.compare.history import default_database
    from harness.results.store import read_run

    path = database or default_database()
    added = {run: put(path, read_run(run)) for run in runs}
    if as_json:
        print_json("history-add", {"backends_added": {str(r): n for r, n in added.items()}})
        return 0
    for run, count in added.items():
        click.echo(f"{run}: {count} backend{'s' * (count != 1)} added" if count else
                   f"{run}: is there already")  # fmt: skip
    return 0


@command.command("report")
@click.option(
    "--markdown", type=options.OUTPUT, help="Also write the report as a page of Markdown."
)
@click.option("--html", type=options.OUTPUT, help="Also write it as a page with charts.")
@database
@options.as_json
def report(markdown: Path | None, html: Path | None, database: Path | None, as_json: bool) -> int:
    """Show each point's trend, and every change of its level with the versions at it."""
    from harness.compare.history import default_database
    from harness.compare.outputs.history_page import report as show

    facts = show(database or default_database(), markdown, html, quiet=as_json)
    if as_json:
        print_json("history-report", facts)
    return 0
