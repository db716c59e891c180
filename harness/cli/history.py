"""`harness history`: many runs in one file, and where their level changed."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options

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
def add(runs: tuple[Path, ...], database: Path | None) -> int:
    """Put RUNS into the history; one that is there already is not added again."""
    from harness.compare.history import add as put
    from harness.compare.history import default_database
    from harness.results.store import read_run

    path = database or default_database()
    for run in runs:
        count = put(path, read_run(run))
        click.echo(f"{run}: {count} backend{'s' * (count != 1)} added" if count else
                   f"{run}: is there already")  # fmt: skip
    return 0


@command.command("report")
@click.option(
    "--markdown", type=options.OUTPUT, help="Also write the report as a page of Markdown."
)
@database
def report(markdown: Path | None, database: Path | None) -> int:
    """Show each point's trend, and every change of its level with the versions at it."""
    from harness.compare.history import default_database
    from harness.compare.trend import report as show

    show(database or default_database(), markdown)
    return 0
