"""`harness report RUN_DIR`: rebuild HTML, PDF and CSV files from a run directory."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("html", "pdf", "csv")


def _formats(_context: click.Context, _parameter: click.Parameter, value: str) -> tuple[str, ...]:
    chosen = tuple(part.strip() for part in value.split(",") if part.strip())
    unknown = [name for name in chosen if name not in FORMATS]
    if unknown or not chosen:
        named = f"unknown format '{unknown[0]}'" if unknown else "no format given"
        raise click.BadParameter(f"{named}; choose from {', '.join(FORMATS)}")
    return chosen


@click.command(name="report")
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the files go; default: the run directory.",
)
@click.option(
    "--format",
    "formats",
    default="html,pdf,csv",
    show_default=True,
    callback=_formats,
    help="Which files to write, separated by commas.",
)
@click.option("--open", "show", is_flag=True, help="Open the HTML report in the browser.")
def command(run_dir: Path, output: Path | None, formats: tuple[str, ...], show: bool) -> None:
    """Rebuild the report of RUN_DIR and print the paths of its files.

    All of it comes from the run directory: no GPU, server or model is needed, and interrupted or
    failed runs have a report too.
    """
    from harness.report.build import build_report

    paths = build_report(run_dir, output=output, formats=formats)
    for path in paths.all():
        click.echo(path)
    _write_best(run_dir, output)
    if show and paths.html is not None:
        click.launch(paths.html.resolve().as_uri())


def _write_best(run_dir: Path, output: Path | None) -> None:
    """Of a search: the best config as a model directory, again; a note where files are gone."""
    from harness.errors import HarnessError
    from harness.results.store import read_run

    data = read_run(run_dir)
    if not any("settings" in row.details for row in data.loads):
        return
    from harness.search.best_config import write_best

    try:
        best = write_best(data, output)
    except HarnessError as error:
        click.echo(f"the best config was not written again: {error.message}", err=True)
    else:
        where = (output or run_dir) / best.directory if best.config else None
        click.echo(where or f"no best config: {best.why}", err=where is None)
