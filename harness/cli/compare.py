"""`harness compare`: is a candidate worse than a base, with a verdict and an exit code for CI."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli import options

if TYPE_CHECKING:
    from harness.compare.result import Comparison

WIDTH = 140
"""Columns where no terminal sets them."""
LOOKS = (4, 6, 9, 13, 19)
"""As in harness.analysis.comparison, whose import would take `--help` its time."""
OUTPUT = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("paths", nargs=-1, type=options.PATH, metavar="[RUN_DIR | SCENARIO | BASE NEW…]")
@click.option("--base", "-b", metavar="NAME", help="Backend or environment to compare with.")
@click.option("--candidate", "-c", metavar="NAME", help="Backend or environment that is judged.")
@click.option("--baseline", type=options.FILE, help="Compare RUN_DIR with a kept baseline.")
@click.option("--save-baseline", type=OUTPUT, help="Keep RUN_DIR's values as a baseline.")
@click.option("--force", is_flag=True, help="Compare stored runs that are not comparable.")
@options.overrides
@click.option("--output", "-o", type=options.PATH, help="SCENARIO: the run directory.")
@options.resume
@click.option(
    "--blocks", type=click.Choice([str(n) for n in LOOKS]), default=str(LOOKS[-1]),
    show_default=True, help="SCENARIO: measure at most so many blocks.",
)  # fmt: skip
@click.option("--layers", is_flag=True, help="Also say which layers differ (ONNX Runtime).")
@click.option("--json", "json_file", type=OUTPUT, help="Write the result as JSON.")
@click.option("--markdown", type=OUTPUT, help="Write a comment for a pull request.")
@click.option("--junit", type=OUTPUT, help="Write JUnit XML, a case a point and metric.")
@click.option("--bencher", type=OUTPUT, help="Write Bencher's metric format.")
@click.option("--quiet", "-q", is_flag=True, help="Print nothing but the verdict.")
def command(
    paths: tuple[Path, ...], base: str | None, candidate: str | None, baseline: Path | None,
    save_baseline: Path | None, force: bool, overrides: tuple[str, ...], output: Path | None,
    resume: Path | None, json_file: Path | None, markdown: Path | None, junit: Path | None,
    bencher: Path | None, quiet: bool, blocks: str, layers: bool,
) -> int:  # fmt: skip
    """Say whether a candidate is worse than a base.

    \b
    SCENARIO            measures both in blocks until it is decided
    RUN_DIR             compares two backends of one run
    BASE_RUN NEW_RUN…   compares stored runs; a verdict needs harness calibrate
    RUN_DIR --baseline  compares a run with a small file that was committed

    Exit codes: 0 equivalent or better; 1 a regression; 2 usage; 4 inconclusive or invalid.
    Where GITHUB_STEP_SUMMARY is set, the comment is added to it.
    """
    from harness.compare.result import worst
    from harness.run.execute import INTERRUPTED

    if save_baseline is not None:
        return _save(paths, candidate, save_baseline)
    measured = resume is not None or (len(paths) == 1 and paths[0].is_file())
    if measured:
        scenario = paths[0] if paths else None
        ended = _measured(scenario, resume, overrides, base, candidate, output, quiet, int(blocks))
        if ended is None:
            return INTERRUPTED
        found = [ended]
    else:
        found = _stored(paths, base, candidate, baseline, force=force)
    if layers:
        found = [_with_layers(one, quiet=quiet) for one in found]
    _show(found, quiet=quiet)
    _write(found, json_file, markdown, junit, bencher)
    return worst(found).exit_code


def _measured(
    scenario: Path | None, directory: Path | None, overrides: tuple[str, ...], base: str | None,
    candidate: str | None, output: Path | None, quiet: bool, most: int,
) -> Comparison | None:  # fmt: skip
    """Measure in blocks; None where that was interrupted."""
    from harness.cli.live import observer
    from harness.compare.comparing import within
    from harness.compare.measuring import begin, finish
    from harness.errors import UsageError
    from harness.results.store import read_run

    watch = observer(quiet=quiet, as_json=False)
    if directory is not None:
        if scenario is not None or overrides or output is not None:
            raise UsageError("--resume goes without a scenario, --set and --output")
        ended, blocks = finish(directory, watch, most)
    else:
        assert scenario is not None
        ended, blocks = begin(scenario, overrides, base, candidate, output, watch, most)
    if ended.interrupted:
        click.echo(ended.how_to_finish("compare"), err=True)
        return None
    if not quiet:
        click.echo(f"run directory: {ended.path}")
    return within(read_run(ended.path), blocks.base, blocks.candidate)


def _stored(
    paths: Sequence[Path], base: str | None, candidate: str | None, baseline: Path | None, *,
    force: bool,
) -> list[Comparison]:  # fmt: skip
    from harness.compare.baseline import read_baseline
    from harness.compare.comparing import against, stored_runs, within
    from harness.errors import UsageError
    from harness.results.store import read_run

    if baseline is not None:
        if len(paths) != 1:
            raise UsageError("--baseline FILE is compared with one run directory")
        side = read_baseline(baseline)
        return [against(side, read_run(paths[0]), candidate, force=force)]
    if not paths:
        raise UsageError("give a scenario, a run directory, or several: the first is the base")
    if len(paths) == 1:
        return [within(read_run(paths[0]), base, candidate)]
    return stored_runs(paths, base, candidate, force=force)


def _with_layers(found: Comparison, *, quiet: bool) -> Comparison:
    """The same with the layers of its two backends, which are those of one run."""
    from dataclasses import replace

    from harness.compare.layers.profiling import profile_blocks, subjects
    from harness.errors import UsageError
    from harness.results.store import read_run

    if found.base.where != found.candidate.where:
        raise UsageError("--layers goes with two backends of one run")
    data = read_run(Path(found.base.where))
    base, candidate = subjects(data, found.base.name, found.candidate.name)

    def tell(text: str) -> None:
        if not quiet:
            click.echo(text, err=True)

    log = data.path / "logs" / "layers.log"
    return replace(found, layers=profile_blocks(base, candidate, log, tell))


def _save(paths: Sequence[Path], backend: str | None, file: Path) -> int:
    from harness.compare.baseline import write_baseline
    from harness.compare.comparing import side_for_baseline
    from harness.errors import UsageError
    from harness.results.store import read_run

    if len(paths) != 1:
        raise UsageError("--save-baseline keeps one run directory")
    write_baseline(file, side_for_baseline(read_run(paths[0]), backend))
    click.echo(f"baseline: {file}")
    return 0


def _show(found: Sequence[Comparison], *, quiet: bool) -> None:
    from rich.console import Console

    from harness.compare.outputs.terminal import terminal
    from harness.compare.outputs.words import headline

    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    for one in found:
        if quiet:
            click.echo(headline(one))
        else:
            console.print(terminal(one))


def _write(
    found: Sequence[Comparison], json_file: Path | None, markdown: Path | None,
    junit: Path | None, bencher: Path | None,
) -> None:  # fmt: skip
    from harness.compare.outputs import data
    from harness.compare.outputs.junit import junit as xml
    from harness.compare.outputs.markdown import markdown as comment
    from harness.system.faults import cant_write
    from harness.system.files import write_text

    written = (
        (json_file, data.json_text), (markdown, comment), (junit, xml), (bencher, data.bencher)
    )  # fmt: skip
    for path, make in written:
        if path is not None:
            try:
                write_text(path, make(found))
            except OSError as error:
                raise cant_write(error, path) from error
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(comment(found))
