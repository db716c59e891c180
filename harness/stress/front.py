"""What `harness stress` does: make the load, or a master's part of it; say what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.scenario.reading.loader import LoadedScenario
from harness.stress.execute import Tell, backend_of, start
from harness.stress.report import write_print, write_report
from harness.stress.results import results_of, write_results
from harness.stress.terminal import answer_page, watcher
from harness.swarm.generator import Where, work_for
from harness.swarm.plan import scenario_hash
from harness.system.console import wide_console


def work(loaded: LoadedScenario, address: str) -> int:
    """Make load for the master at `address`; the exit code."""
    stress, _ = backend_of(loaded)
    with tempfile.TemporaryDirectory(prefix="harness-stress-") as folder:
        return work_for(
            address, scenario_hash(loaded), stress.locustfile or "",
            loaded.path.resolve().parent, Path(folder) / "worker.log",
        )  # fmt: skip


def stress(
    loaded: LoadedScenario, output: Path | None, where: Where, *, also: Tell | None, quiet: bool,
    as_json: bool, report: bool,
) -> int:  # fmt: skip
    """Make the load and write what came of it; the exit code. `also` hears every event too."""
    with watcher(quiet=quiet, as_json=as_json) as shown:

        def tell(event: Mapping[str, Any]) -> None:
            shown(event)
            if also is not None:
                also(event)

        directory = start(loaded, output, where, tell)
    return _finish(directory, quiet=quiet, as_json=as_json, report=report)


def _finish(directory: Path, *, quiet: bool, as_json: bool, report: bool) -> int:
    """Write the results and the report, print the answer and the paths; the exit code."""
    found = results_of(directory)
    results, xml = write_results(found)
    html = write_report(found) if report else None
    if as_json:
        told = {"directory": str(directory), "report": str(html) if html else None}
        begins = {"schema": "harness-stress/1", "event": "finished"}
        click.echo(json.dumps({**begins, **told, **found.to_json()}))
        return found.exit_code
    if not quiet:
        wide_console().print(answer_page(found))
    elif found.judged:
        click.echo(found.verdict)
    click.echo(f"run directory: {directory}\nresults: {results}\nJUnit: {xml}")
    if html is not None:
        click.echo(f"HTML report: {html}")
    return found.exit_code


def rebuild(directory: Path) -> None:
    """Write what is said of a run again, and print the paths. Raises RunDirectoryError."""
    found = results_of(directory)
    for path in (write_report(found), write_print(found), *write_results(found)):
        click.echo(path)
