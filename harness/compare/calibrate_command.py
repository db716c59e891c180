"""`harness calibrate`: measure a scenario against itself, to know what this machine can tell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from harness.results.calibration import FEWEST_REPEATS, FEWEST_RUNS
from harness.system import options
from harness.system.output import print_json

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from rich.table import Table

    from harness.compare.effects import Calibration
    from harness.results.events import Observer

RUNS, REPEATS = 4, 5


@click.command()
@options.scenario
@click.option(
    "--runs", type=click.IntRange(FEWEST_RUNS, 100), default=RUNS, show_default=True,
    help="Whole runs.",
)  # fmt: skip
@click.option(
    "--repeats", "-n", type=click.IntRange(FEWEST_REPEATS, 500), default=REPEATS, show_default=True,
    help="Rounds of half a run: twice as many are measured in each.",
)  # fmt: skip
@click.option(
    "--pause", type=click.FloatRange(0), default=0.0, metavar="MINUTES",
    help="Time between two runs: hours apart, they see more of what the machine goes through.",
)  # fmt: skip
@options.overrides
@click.option(
    "--output", "-o", type=options.PATH,
    help="Directory of the runs. Default: reports/SCENARIO-calibrate-TIME",
)  # fmt: skip
@options.resume
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the result.")
@options.as_json
@click.pass_context
def command(
    context: click.Context, scenario: Path | None, runs: int, repeats: int, pause: float,
    overrides: tuple[str, ...], output: Path | None, resume: Path | None, quiet: bool,
    as_json: bool,
) -> int:  # fmt: skip
    """Run SCENARIO against itself and say what a comparison on this machine is worth.

    The whole run is repeated with fresh processes and servers, in 2 × REPEATS rounds. How much do
    rounds and runs differ, does the machine drift, how often does the rule that compares raise a
    false alarm for a run's first half against its second and for run against run, and how large
    must a slowdown be to be found four times in five? It stands in later reports of this machine.
    """
    from harness.compare.calibration import Plan, begin, conclude, finish
    from harness.errors import UsageError
    from harness.run.execute import INTERRUPTED
    from harness.run.live import observer

    def watches() -> AbstractContextManager[Observer]:
        return observer(quiet=quiet or as_json, as_json=False)

    if resume is not None:
        settled: dict[str, object] = {
            f"--{name}": context.get_parameter_source(name) != ParameterSource.DEFAULT
            for name in ("runs", "repeats", "pause")
        }
        ended = finish(resume, {**settled, "--set": overrides, "--output": output}, watches)
    elif scenario is None:
        raise UsageError("give a scenario file, or --resume DIR")
    else:
        ended = begin(scenario, overrides, Plan(runs, repeats, 60 * pause), output, watches)
    if ended.interrupted:
        click.echo(ended.how_to_finish("calibrate"), err=True)
        return INTERRUPTED
    found = conclude(ended.path)
    if as_json:
        print_json("calibrate", found.to_json(ended.path))
        return 0
    _show(found.calibration, found.text)
    click.echo(f"directory of the runs: {ended.path}\nkept for later reports: {found.path}")
    return 0


def _show(found: Calibration, text: str) -> None:
    from rich.console import Console

    console = Console()
    console.print(_table(found))
    console.print("finds: within a run / between runs", style="dim")
    for point in found.left_out:
        console.print(f"left out: {point}: invalid, failed, or too few rounds", style="yellow")
    console.print(text, style="bold", highlight=False)


def _table(found: Calibration) -> Table:
    from rich.table import Table

    from harness.analysis.calibrate import detectable_text
    from harness.scenario.metrics import PRIMARY

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("point", overflow="fold")
    for title in ("half:half", "run:run", *(f"{m} finds" for m in PRIMARY)):
        table.add_column(title, justify="right")
    for test in found.tests:
        designs = (test.halves, test.runs)
        sizes = [
            " / ".join(detectable_text(d.detectable[m]) for d in designs)
            if m in test.effects else "n/a"
            for m in PRIMARY
        ]  # fmt: skip
        alarms = [f"{d.false_alarms}/{d.comparisons}" for d in designs]
        table.add_row(test.point, *alarms, *sizes)
    return table
