"""`harness report RUN_DIR`: rebuild HTML, PDF and CSV files from a run directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import click

from harness.system import options
from harness.system.output import print_json

OTHERS = (
    ("harness.stress.store:is_stress", "harness.stress.front:rebuild"),
    ("harness.profile.store:is_profile", "harness.profile.command:rebuild"),
    ("harness.tenants.results:is_sharing", "harness.tenants.front:rebuild"),
)
"""Directories that are no runs: how one is known, and what writes its report again."""


@click.command(name="report")
@options.run_dir
@click.option(
    "--output", type=options.FOLDER, help="Where the files go; default: the run directory."
)
@click.option(
    "--format", "formats", default="html,pdf,csv,json", show_default=True,
    help="Which files to write, separated by commas.",
)  # fmt: skip
@click.option(
    "--full", is_flag=True,
    help="A PDF with every configuration and every point; else those are in the HTML alone.",
)  # fmt: skip
@click.option(
    "--profile", type=options.PATH, metavar="DIR",
    help="Also say what `harness profile` found in DIR, of the same model.",
)  # fmt: skip
@options.as_json
@click.option("--open", "show", is_flag=True, help="Open the HTML report in the browser.")
def command(
    run_dir: Path, output: Path | None, formats: str, full: bool, profile: Path | None,
    as_json: bool, show: bool,
) -> None:  # fmt: skip
    """Rebuild the report of RUN_DIR and print the paths of its files.

    All of it comes from the run directory: no GPU, server or model is needed, and interrupted or
    failed runs have a report too.
    """
    from harness.run.execute import rebuild
    from harness.scenario.kinds import import_path
    from harness.system.credentials import outward

    for paths in OTHERS:
        is_one, again = (cast("Callable[[Path], object]", import_path(path)) for path in paths)
        if is_one(run_dir):
            again(run_dir)
            return
    more = []
    if profile is not None:
        from harness.profile.report import run_section
        from harness.results.store import read_run

        more = [run_section(read_run(run_dir), profile)]
    chosen = [part.strip() for part in formats.split(",") if part.strip()]
    found = rebuild(run_dir, output, chosen, full=full, more=more)
    files = [*found.report.all(), *([found.best] if found.best else [])]
    problems = [outward(text) for text in (*found.damage, found.why_not) if text]
    if as_json:
        print_json("report", {"files": [str(path) for path in files], "problems": problems})
    else:
        click.echo("\n".join(map(str, files)))
        for text in problems:
            click.echo(text, err=True)
    if show and found.report.html is not None:
        click.launch(found.report.html.resolve().as_uri())
