"""`harness calibrate`: measure a scenario against itself, to know what this machine can tell."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

if TYPE_CHECKING:
    from rich.table import Table

    from harness.analysis.calibrate import Calibration

REPEATS, FEWEST = 10, 5
"""Rounds a side; with fewer than five no slowdown, however large, can be told from chance."""


@click.command()
@click.argument("scenario", required=False, type=click.Path(path_type=Path))
@click.option(
    "--repeats", "-n", type=click.IntRange(FEWEST, 500), default=REPEATS, show_default=True,
    help="Rounds a side: twice as many are measured.",
)  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="As in `harness run`.")
@click.option(
    "--output", "-o", type=click.Path(path_type=Path),
    help="Run directory. Default: reports/SCENARIO-calibrate-TIME",
)  # fmt: skip
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Finish the calibration in DIR; measures only what is missing.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the result.")
@click.pass_context
def command(
    context: click.Context, scenario: Path | None, repeats: int, overrides: tuple[str, ...],
    output: Path | None, resume: Path | None, quiet: bool,
) -> int:  # fmt: skip
    """Run SCENARIO against itself and say what a comparison on this machine is worth.

    Every point is measured in 2 × REPEATS rounds, each in fresh processes. Neighbouring rounds are
    then called A and B by chance, many times over, and compared by the rule that compares two runs:
    how often does it raise a false alarm, and how large must a slowdown be to be found four times
    in five? The result is kept for this machine and stands in the reports of its later runs.
    """
    from harness.cli.run import INTERRUPTED
    from harness.errors import InconclusiveError, UsageError
    from harness.run.execute import _measure

    if resume is not None:
        written = context.get_parameter_source("repeats") != ParameterSource.DEFAULT
        _check_resume(resume, {"--repeats": written, "--set": overrides, "--output": output})
        overrides = ()
    elif scenario is None:
        raise UsageError("give a scenario file, or --resume DIR")
    else:
        rounds = (f"measurement.rounds={2 * repeats}", f"measurement.rounds_max={2 * repeats}")
        overrides = (*overrides, *rounds)
        output = output or _directory(scenario, overrides)
    directory, interrupted = _measure(
        scenario, overrides, output, resume, quiet, False, name="calibrate"
    )
    if interrupted:
        return INTERRUPTED
    found = _calibrate(directory)
    if not found.tests:
        raise InconclusiveError(
            "no point is valid in at least four rounds, so nothing can be compared",
            fix=f"harness report {directory} says what is wrong with each point",
        )
    _show(found, directory)
    return 0


def _check_resume(directory: Path, options: Mapping[str, object]) -> None:
    """Raise UsageError for options that were settled when the calibration began, or no such run."""
    from harness.errors import UsageError
    from harness.results.store import read_run

    for name, value in options.items():
        if value:
            raise UsageError(f"{name} does not go with --resume: it is as it was begun")
    measurement = read_run(directory).manifest["scenario"]["measurement"]
    rounds = int(measurement["rounds"])
    if rounds != measurement["rounds_max"] or rounds % 2 or rounds < 2 * FEWEST:
        raise UsageError(
            f"{directory} is no calibration", fix=f"harness run --resume {directory} finishes a run"
        )


def _directory(path: Path, overrides: tuple[str, ...]) -> Path:
    """The default run directory. Raises UsageError when there is nothing to repeat."""
    from harness.errors import UsageError
    from harness.run.execute import _default_directory
    from harness.scenario.points import expand
    from harness.scenario.reading.loader import load

    scenario = load(path, overrides).scenario
    if all(point.shape == "find_capacity" for point in expand(scenario)):
        raise UsageError(
            f"{path}: a capacity search can't be calibrated, its rates differ from round to round",
            fix="give fixed loads: --set load.find_capacity=null --set load.concurrency=[1]",
        )
    return _default_directory(f"{scenario.scenario}-calibrate")


def _calibrate(directory: Path) -> Calibration:
    from harness.analysis.calibrate import calibrate
    from harness.analysis.summary import summarize
    from harness.results.store import read_run

    data = read_run(directory)
    return calibrate(summarize(data.measurements, data.failures))


def _show(found: Calibration, directory: Path) -> None:
    """Keep the result and print it."""
    from rich.console import Console

    from harness import __version__
    from harness.analysis.calibrate import false_alarm_text
    from harness.results.calibration import write_calibration
    from harness.results.store import read_run

    manifest = read_run(directory).manifest
    result = {
        "created": manifest["created"], "harness_version": __version__,
        "scenario": manifest["scenario"]["scenario"], "run": str(directory.resolve()),
        **found.to_json(),
    }  # fmt: skip
    path = write_calibration(manifest["machine"], result)
    console = Console()
    console.print(_table(found))
    for point in found.left_out:
        console.print(f"left out: {point}: invalid, failed, or too few rounds", style="yellow")
    console.print(false_alarm_text(result), style="bold", highlight=False)
    click.echo(f"run directory: {directory}\nkept for later reports: {path}")


def _table(found: Calibration) -> Table:
    from rich.table import Table

    from harness.analysis.calibrate import detectable_text
    from harness.analysis.comparison import MARGINS

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("point", overflow="fold")
    for title in ("rounds", "false alarms", *(f"{m} finds" for m in MARGINS)):
        table.add_column(title, justify="right")
    for test in found.tests:
        sizes = [
            detectable_text(test.detectable[m]) if m in test.detectable else "n/a" for m in MARGINS
        ]
        table.add_row(
            test.point, f"{test.rounds}+{test.rounds}",
            f"{test.any_false_alarm}/{test.comparisons}", *sizes,
        )  # fmt: skip
    return table
