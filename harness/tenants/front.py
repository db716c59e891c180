"""What `harness share` leaves: the report, the page in the terminal, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.errors import HarnessError, InconclusiveError
from harness.tenants.report import write_report
from harness.tenants.results import Results, read_results
from harness.tenants.show import console, page, to_json


def finish(directory: Path, *, report: bool, quiet: bool, as_json: bool) -> int:
    """Write the report, print the answer and the paths; the exit code. Raises RunDirectoryError."""
    found = read_results(directory)
    html = write_report(found) if report else None
    if as_json:
        told = {"directory": str(directory), "report": str(html) if html else None}
        begins = {"schema": "harness-share/1", "event": "finished"}
        click.echo(json.dumps({**begins, **told, **to_json(found)}))
        return exit_code(found)
    if not quiet:
        console().print(page(found), highlight=False)
    click.echo(f"run directory: {directory}")
    if html is not None:
        click.echo(f"HTML report: {html}")
    return exit_code(found)


def rebuild(directory: Path) -> None:
    """Write the report again, and print its path. Raises RunDirectoryError."""
    click.echo(write_report(read_results(directory)))


def exit_code(found: Results) -> int:
    """1 where a cell could not be measured, or one replica is shown to miss the target in every
    mode; 4 where it holds it in none, and is undecided in one.
    """
    if found.failures:
        return HarnessError.exit_code
    if found.sharing.target is None or any(map(found.holds, found.modes)):
        return 0
    first = [fits[0].verdict for mode in found.modes if (fits := found.fits(mode))]
    missed = all(verdict == "fails" for verdict in first)
    return HarnessError.exit_code if missed else InconclusiveError.exit_code
