"""`harness merge`: the run directories of shards or lanes as one."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options


@click.command()
@click.argument("directories", nargs=-1, required=True, type=options.PATH)
@click.option("--output", "-o", required=True, type=options.PATH, help="The new run directory.")
@click.option(
    "--allow-mixed", is_flag=True,
    help="Also what differs in scenario, versions or kind of GPU; what does is noted.",
)  # fmt: skip
@options.quiet
@options.as_json
@click.option("--report/--no-report", "report", default=True, help="Write HTML, PDF and CSVs.")
def command(
    directories: tuple[Path, ...], output: Path, allow_mixed: bool, quiet: bool, as_json: bool,
    report: bool,
) -> int:  # fmt: skip
    """Make one run directory of the DIRECTORIES of shards; it reads as that of any run.

    The GPU or machine of each stays a block of the statistics. Exit codes as of `harness run`; 130
    where a shard is missing or did not end.
    """
    from harness.cli.run import finish
    from harness.fleet.front import carry_out

    ended = carry_out(directories, output, allow_mixed=allow_mixed)
    return finish(ended, quiet=quiet, as_json=as_json, report=report)
