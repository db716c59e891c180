"""`harness share`: several models or replicas on one device."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options


@click.command(name="share")
@click.argument("path", type=options.PATH, required=False, metavar="SCENARIO | RUN_DIR")
@options.overrides
@options.output
@click.option(
    "--predict",
    is_flag=True,
    help="Run no two tenants together: predict what each two do to one another from each one's "
    "run beside stressors. As `sharing: {predict: true, pairs: false}`.",
)
@click.option(
    "--resume", type=options.PATH, metavar="DIR",
    help="Finish what was interrupted, failed or left out for the budget in DIR.",
)  # fmt: skip
@click.option("--report/--no-report", "report", default=True, help="Write the HTML report.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors and paths.")
@options.events
def command(
    path: Path | None, overrides: tuple[str, ...], output: Path | None, predict: bool,
    resume: Path | None, report: bool, quiet: bool, as_json: bool,
) -> int:  # fmt: skip
    """Measure the tenants of SCENARIO's `sharing` on one device, alone and together.

    Says what of dedicated throughput is kept, p99, energy and memory in each mode, who slows whom,
    and how many replicas hold the target. With RUN_DIR, what was measured is shown again.

    Exit codes: 0 all was measured; 1 a cell could not be, or one replica alone misses the target in
    every mode; 2 the scenario is wrong; 3 this machine lacks something; 4 it is not decided that
    one holds it in any; 130 interrupted.
    """
    from contextlib import nullcontext

    from harness.scenario.reading.loader import load
    from harness.tenants.execute import resume as go_on
    from harness.tenants.execute import start
    from harness.tenants.front import finish
    from harness.tenants.show import watching

    _require_one(path, resume, new=predict or output is not None, changed=bool(overrides))
    watch = nullcontext(watching(silent=quiet, as_json=as_json))
    interrupted, directory = False, path
    if resume is not None:
        ended = go_on(resume, watch, path=path, overrides=overrides)
        interrupted, directory = ended.interrupted, ended.path
    elif path is not None and not path.is_dir():
        asked = ("sharing.predict=true", "sharing.pairs=false") if predict else ()
        ended = start(load(path, (*asked, *overrides)), output, watch)
        interrupted, directory = ended.interrupted, ended.path
    assert directory is not None
    code = finish(directory, report=report, quiet=quiet, as_json=as_json)
    return 130 if interrupted else code


def _require_one(path: Path | None, resume: Path | None, *, new: bool, changed: bool) -> None:
    """Raise UsageError unless it is a new run, one to go on with, or one to show again."""
    from harness.errors import UsageError

    if path is None and resume is None:
        raise UsageError("give a scenario file, a run directory, or --resume DIR")
    if resume is not None and new:
        raise UsageError("--output and --predict do not go with --resume: the run knows its own")
    if path is not None and path.is_dir() and (resume is not None or new or changed):
        raise UsageError("--output, --predict, --resume and --set go with a scenario")
