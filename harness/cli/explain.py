"""`harness explain RUN_DIR POINT`: everything about one point of a run, in the terminal."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli import options


@click.command()
@options.run_dir
@click.argument("point", required=False)
def command(run_dir: Path, point: str | None) -> None:
    """Say everything about POINT of the run in RUN_DIR, e.g. triton-http/b4/c2.

    Its values by round and over rounds, latency over time with the warm-up and the window, the
    distribution, slip, server time, flags with what was seen, failures. Without POINT, lists the
    run's points.
    """
    from rich.console import Console

    from harness.report.outputs.terminal_point import about, points_of
    from harness.results.store import read_run

    data = read_run(run_dir)
    for text in (*data.damage, *(data.damaged_files(point) if point else ())):
        click.echo(text, err=True)
    if point is None:
        click.echo("\n".join(points_of(data)))
    else:
        Console().print(about(data, point), highlight=False)
