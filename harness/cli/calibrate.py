"""`harness calibrate`: measure a scenario against itself, to know what this machine can tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness.cli import options
from harness.results.calibration import FEWEST_REPEATS

if TYPE_CHECKING:
    from rich.table import Table

    from harness.analysis.calibrate import Calibration

REPEATS = 10


@click.command()
@options.scenario
@click.option(
    "--repeats", "-n", type=click.IntRange(FEWEST_REPEATS, 500), default=REPEATS, show_default=True,
    help="Rounds a side: twice as many are measured.",
)  # fmt: skip
@options.overrides
@click.option(
    "--output", "-o", type=options.PATH,
    help="Run directory. Default: reports/SCENARIO-calibrate-TIME",
)  # fmt: skip
@options.resume
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
    from harness.cli.live import observer
    from harness.errors import UsageError
    from harness.run.calibration import begin, conclude, finish
    from harness.run.execute import INTERRUPTED

    watch = observer(quiet=quiet, as_json=False)
    if resume is not None:
        written = context.get_parameter_source("repeats") != ParameterSource.DEFAULT
        settled = {"--repeats": written, "--set": overrides, "--output": output}
        ended = finish(resume, settled, watch)
    elif scenario is None:
        raise UsageError("give a scenario file, or --resume DIR")
    else:
        ended = begin(scenario, overrides, repeats, output, watch)
    if ended.interrupted:
        click.echo(ended.how_to_finish("calibrate"), err=True)
        return INTERRUPTED
    found = conclude(ended.path)
    _show(found.calibration, found.text)
    click.echo(f"run directory: {ended.path}\nkept for later reports: {found.path}")
    return 0


def _show(found: Calibration, text: str) -> None:
    from rich.console import Console

    console = Console()
    console.print(_table(found))
    for point in found.left_out:
        console.print(f"left out: {point}: invalid, failed, or too few rounds", style="yellow")
    console.print(text, style="bold", highlight=False)


def _table(found: Calibration) -> Table:
    from rich.table import Table

    from harness.analysis.calibrate import detectable_text
    from harness.scenario.metrics import PRIMARY

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("point", overflow="fold")
    for title in ("rounds", "false alarms", *(f"{m} finds" for m in PRIMARY)):
        table.add_column(title, justify="right")
    for test in found.tests:
        sizes = [
            detectable_text(test.detectable[m]) if m in test.detectable else "n/a" for m in PRIMARY
        ]
        table.add_row(
            test.point, f"{test.rounds}+{test.rounds}",
            f"{test.any_false_alarm}/{test.comparisons}", *sizes,
        )  # fmt: skip
    return table
