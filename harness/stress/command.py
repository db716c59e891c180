"""`harness stress`: a Triton server under a shape of load and faults, driven by Locust."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.scenario.reading.loader import LoadedScenario

PATH = click.Path(path_type=Path)
MASTER = "127.0.0.1:5557"


@click.command(name="stress")
@click.argument("scenario", type=PATH)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="As of `harness run`. Repeatable.",
)
@click.option("--output", "-o", type=PATH, help="Run directory. Default: reports/SCENARIO-TIME")
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True,
    help="Processes that make the load; with --master, workers to wait for.",
)  # fmt: skip
@click.option(
    "--master", is_flag=False, flag_value=MASTER, metavar="[ADDRESS:PORT]",
    help=f"Wait for workers from other hosts; on {MASTER} unless an address is given.",
)  # fmt: skip
@click.option(
    "--worker", metavar="HOST:PORT", help="Make load for the master there; no report is written."
)
@click.option(
    "--web", type=click.IntRange(1, 65535), metavar="PORT", help="Locust's page, on 127.0.0.1."
)
@click.option("--report/--no-report", "report", default=True, help="Write the HTML report.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and paths.")
@click.option("--json", "as_json", is_flag=True, help="Print every event as a line of JSON.")
def command(
    scenario: Path, overrides: tuple[str, ...], output: Path | None, workers: int,
    master: str | None, worker: str | None, web: int | None, report: bool, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Put the Triton server of SCENARIO under the load, and through the faults, of its `stress`.

    Exit codes: 0 every threshold holds; 1 one is broken, or the run ended early; 2 the scenario is
    wrong; 3 this machine lacks something; 4 a threshold can't be judged, or part of the load was
    lost; 130 interrupted.
    """
    from harness.errors import UsageError
    from harness.scenario.reading.loader import load
    from harness.system.packages import require

    require("locust")
    loaded = load(scenario, overrides)
    if worker is not None:
        if master is not None or output is not None:
            raise UsageError("--worker goes with neither --master nor --output")
        return _work(loaded, worker)
    from harness.stress.execute import start
    from harness.stress.generator import Where
    from harness.stress.terminal import watcher

    where = Where(workers, master or "", web or 0)
    with watcher(quiet=quiet, as_json=as_json) as tell:
        directory = start(loaded, output, where, tell)
    return _finish(directory, quiet=quiet, as_json=as_json, report=report)


def _work(loaded: LoadedScenario, address: str) -> int:
    import tempfile

    from harness.stress.execute import backend_of
    from harness.stress.generator import work_for
    from harness.stress.plan import scenario_hash

    stress, _ = backend_of(loaded)
    with tempfile.TemporaryDirectory(prefix="harness-stress-") as folder:
        return work_for(
            address, scenario_hash(loaded), stress.locustfile or "",
            loaded.path.resolve().parent, Path(folder) / "worker.log",
        )  # fmt: skip


def _finish(directory: Path, *, quiet: bool, as_json: bool, report: bool) -> int:
    """Write the results and the report, print the answer and the paths; the exit code."""
    from rich.console import Console

    from harness.stress.report import write_report
    from harness.stress.results import results_of, write_results
    from harness.stress.terminal import answer_page

    found = results_of(directory)
    results, xml = write_results(found)
    html = write_report(found) if report else None
    if as_json:
        told = {"directory": str(directory), "report": str(html) if html else None}
        click.echo(json.dumps({"event": "finished", **told, **found.to_json()}))
        return found.exit_code
    if not quiet:
        console = Console()
        if not console.is_terminal:
            console.width = 140
        console.print(answer_page(found))
    click.echo(f"run directory: {directory}\nresults: {results}\nJUnit: {xml}")
    if html is not None:
        click.echo(f"HTML report: {html}")
    return found.exit_code


def rebuild(directory: Path) -> None:
    """Write what is said of a run again, and print the paths. Raises RunDirectoryError."""
    from harness.stress.report import write_report
    from harness.stress.results import results_of, write_results

    found = results_of(directory)
    for path in (write_report(found), *write_results(found)):
        click.echo(path)
