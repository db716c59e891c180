"""`harness explain RUN_DIR POINT`: everything about one point of a run, in the terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness.analysis.summary import SummaryRow
    from harness.results.store import RunData


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("point", required=False)
def command(run_dir: Path, point: str | None) -> None:
    """Say everything about POINT of the run in RUN_DIR, e.g. triton-http/b4/c2.

    Its values by round and over rounds, latency over time with the warm-up and the window, the
    distribution, slip, server time, flags with what was seen, failures. Without POINT, lists the
    run's points.
    """
    from rich.console import Console

    from harness.analysis.point_detail import explain
    from harness.report.outputs.terminal_point import render
    from harness.results.store import read_run

    data = read_run(run_dir)
    rows = _rows(data)
    if point is None:
        click.echo("\n".join([*rows, *dict.fromkeys(c.point for c in data.capacities)]))
        return
    console = Console()
    if searched := _capacity(data, point):
        console.print(searched, highlight=False)
        return
    console.print(render(explain(_find(rows, point, run_dir), run_dir)), highlight=False)


def _capacity(data: RunData, point: str) -> RenderableType | None:
    """The rates that a search tried; None when `point` was not searched."""
    from harness.analysis.capacity import summarize_capacity
    from harness.report.outputs.terminal_point import render_capacity

    found = {c.point: c for c in summarize_capacity(data.capacities)}
    return render_capacity(found[point]) if point in found else None


def _rows(data: RunData) -> dict[str, SummaryRow]:
    from harness.analysis.summary import summarize

    return {row.point: row for row in summarize(data.measurements, data.failures)}


def _find(rows: dict[str, SummaryRow], point: str, run_dir: Path) -> SummaryRow:
    """The row of a point. Raises UsageError that names the nearest point."""
    import difflib

    from harness.errors import UsageError

    if point in rows:
        return rows[point]
    near = difflib.get_close_matches(point, rows, n=1, cutoff=0.5)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise UsageError(
        f"{run_dir} has no point '{point}'{hint}", fix=f"harness explain {run_dir} lists its points"
    )
