"""`harness import`: another tool's file or command line as a scenario, option by option."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options


@click.command("import")
@click.argument("source", nargs=-1, required=True, metavar="FILE | -- perf_analyzer OPTION…")
@click.option("--output", "-o", type=options.PATH, required=True, help="The scenario to write.")
@click.option("--force", is_flag=True, help="Write over files that are there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(source: tuple[str, ...], output: Path, force: bool, as_json: bool) -> int:
    """Translate a Model Analyzer FILE or a perf_analyzer command line into a scenario.

    Each option is named with what became of it: translated, not needed, or refused with the
    reason. docs/import.md has them all. Exit 2 where a value is bad, with its place, or where
    the scenario can't be run here yet.
    """
    from rich.console import Console

    from harness.migrate import show
    from harness.migrate.write import check, read, write

    drafts = read(source, output.parent)
    written = write(drafts, output, force)
    outcomes = list(dict.fromkeys(o for draft in drafts for o in draft.outcomes))
    problems = [p for path in written for p in check(path)]
    if as_json:
        click.echo(show.as_json(written, outcomes, problems))
    else:
        Console(highlight=False).print(show.table(outcomes))
        click.echo(show.summary(written, outcomes, problems))
    return 2 if problems else 0
