"""`harness profile`: where a model's time goes, and what would save some of it."""

from __future__ import annotations

from pathlib import Path

import click

PATH = click.Path(path_type=Path)


@click.command(name="profile")
@click.argument("path", type=PATH, metavar="SCENARIO | PROFILE_DIR")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE",
    help="As of `harness run`. Repeatable. With PROFILE_DIR, for what is tried.",
)  # fmt: skip
@click.option("--output", "-o", type=PATH, help="Directory. Default: reports/SCENARIO-profile-TIME")
@click.option(
    "--try", "tried", is_flag=False, flag_value="1", metavar="[N,… | all]",
    help="Measure the change of these findings; alone, of the first.",
)  # fmt: skip
@click.option("--report/--no-report", "report", default=True, help="Write the HTML report.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and paths.")
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
def command(
    path: Path, overrides: tuple[str, ...], output: Path | None, tried: str | None, report: bool,
    quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Say where the time of SCENARIO's model goes, and what would save some of it.

    Each backend that runs in a process of ours is profiled at each batch size: operators, layers,
    kernels, copies, gaps, memory, the first calls, and what bounds it, with the ceilings measured
    beside. The traces open in Perfetto and TensorBoard. A profile is no run: nothing of it is
    taken for a measurement. With PROFILE_DIR, nothing is profiled anew.

    Exit codes: 0 all were profiled; 1 a backend could not be; 2 the scenario is wrong; 130
    interrupted.
    """
    from harness.profile.front import Asked, carry_out

    asked = Asked(path, overrides, output, tried, report=report, quiet=quiet, as_json=as_json)
    return carry_out(asked)


def rebuild(directory: Path) -> None:
    """Write the report of a profile again, and print its path. Raises RunDirectoryError."""
    from harness.profile.report import write_report

    click.echo(
        f"{directory} is a profile, not a run: nothing in it was timed undisturbed", err=True
    )
    click.echo(write_report(directory))
