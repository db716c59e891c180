"""`harness explain RUN_DIR POINT`: everything about one point of a run, in the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.system import options


@click.command()
@options.run_dir
@click.argument("point", required=False)
@click.option(
    "--gap", nargs=2, metavar="NATIVE SERVED",
    help="Where the time between two backends goes: one in process, and one on Triton.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print POINT, or the points' names, as JSON.")
def command(
    run_dir: Path, point: str | None, gap: tuple[str, str] | None, as_json: bool
) -> None:  # fmt: skip
    """Say everything about POINT of the run in RUN_DIR, e.g. triton-http/b4/c2.

    Its values by round and over rounds, latency over time with the warm-up and the window, the
    distribution, slip, server time, flags with what was seen, failures. Without POINT, lists the
    run's points. With --gap, the steps from what a request takes in process to what the client of
    the server sees, at each load, and what would make it less.
    """
    from rich.console import Console

    from harness.explain import record
    from harness.explain.terminal import about, points_of
    from harness.results.store import read_run

    data = read_run(run_dir)
    for text in (*data.damage, *(data.damaged_files(point) if point else ())):
        click.echo(text, err=True)
    if gap is not None:
        if point is not None or as_json:
            raise click.UsageError("--gap says something of two backends, not of a point")
        from harness.explain.gap import page

        click.echo(page(data, *gap) + "\n")
    elif as_json:
        names = {"schema": record.SCHEMA, "points": points_of(data)}
        click.echo(record.render(data, point) if point else json.dumps(names, indent=1))
    elif point is None:
        click.echo("\n".join(points_of(data)))
    else:
        Console().print(about(data, point), highlight=False)
