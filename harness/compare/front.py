"""What `harness compare` does with what it was asked: measure or read, judge, show, write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from harness.compare.answers import Answers, compare_answers
from harness.compare.baseline import read_baseline, write_baseline
from harness.compare.comparing import against, side_for_baseline, stored_runs, within
from harness.compare.kept import FOLDER, Kept, keep, read_kept
from harness.compare.layers.profiling import BLOCKS, profile_blocks
from harness.compare.measuring import begin, finish
from harness.compare.outputs import data
from harness.compare.outputs.junit import junit
from harness.compare.outputs.markdown import markdown
from harness.compare.outputs.terminal import terminal
from harness.compare.outputs.words import headline
from harness.compare.result import Comparison, Verdict, worst
from harness.compare.subjects import subjects
from harness.errors import HarnessError, UsageError
from harness.results.events import Observer
from harness.results.store import read_run
from harness.run.execute import INTERRUPTED
from harness.system.console import wide_console
from harness.system.faults import cant_write
from harness.system.files import write_text
from harness.system.scratch import temporary_folder

SUMMARY = "GITHUB_STEP_SUMMARY"
"""The variable with the file that GitHub shows beside a job."""
JOB = ("GITHUB_WORKFLOW", "GITHUB_JOB", "CI_JOB_NAME")
"""Variables by which GitHub and GitLab name what runs."""
Watch = AbstractContextManager[Observer]


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of the command."""

    paths: tuple[Path, ...]
    base: str | None
    candidate: str | None
    baseline: Path | None
    save_baseline: Path | None
    overrides: tuple[str, ...]
    output: Path | None
    resume: Path | None
    blocks: int
    force: bool
    layers: bool | None
    """Whether to profile the layers; None: where a regression was just measured."""
    quiet: bool
    outputs: bool = False
    """Whether the outputs of both are compared with each other; those just measured always are."""
    layer_blocks: int = BLOCKS
    marker: str = ""
    """What tells this comment of a pull request from others; empty: see `marker_key`."""


@dataclass(frozen=True, slots=True)
class Files:
    """Where the result is written, by format."""

    json: Path | None = None
    markdown: Path | None = None
    junit: Path | None = None
    bencher: Path | None = None
    html: Path | None = None
    pdf: Path | None = None


def carry_out(asked: Asked, files: Files, watch: Watch) -> int:
    """Do it; the exit code. Raises HarnessError."""
    if asked.save_baseline is not None:
        return _save(asked, asked.save_baseline)
    if asked.resume is not None or (len(asked.paths) == 1 and asked.paths[0].is_file()):
        measured = _measured(asked, watch)
        if measured is None:
            return INTERRUPTED
        found = [measured]
    else:
        found = _stored(asked)
    try:
        found = [_looked_at(one, asked) for one in found]
    finally:  # a profiler that fails takes no verdict with it
        _show(found, quiet=asked.quiet)
        _write(found, files, asked.marker)
    return worst(found).exit_code


def _measured(asked: Asked, watch: Watch) -> Comparison | None:
    """Measure in blocks; None where that was interrupted."""
    if asked.baseline is not None or asked.force:
        raise UsageError("--baseline and --force go with run directories")
    if asked.resume is not None:
        if asked.paths or asked.overrides or asked.output is not None:
            raise UsageError("--resume goes without a scenario, --set and --output")
        ended, blocks = finish(asked.resume, watch, asked.blocks)
    else:
        ended, blocks = begin(
            asked.paths[0], asked.overrides, asked.base, asked.candidate, asked.output, watch,
            asked.blocks,
        )  # fmt: skip
    if ended.interrupted:
        print(ended.how_to_finish("compare"), file=sys.stderr)
        return None
    if not asked.quiet:
        print(f"run directory: {ended.path}")
    return within(read_run(ended.path), blocks.base, blocks.candidate)


def _stored(asked: Asked) -> list[Comparison]:
    paths, force = asked.paths, asked.force
    if asked.baseline is not None:
        if len(paths) != 1:
            raise UsageError("--baseline FILE is compared with one run directory")
        side = read_baseline(asked.baseline)
        return [against(side, read_run(paths[0]), asked.candidate, force=force)]
    if not paths:
        raise UsageError("give a scenario, a run directory, or several: the first is the base")
    if len(paths) == 1:
        return [within(read_run(paths[0]), asked.base, asked.candidate)]
    return stored_runs(paths, asked.base, asked.candidate, force=force)


def _looked_at(found: Comparison, asked: Asked) -> Comparison:
    """The same with what both say to the same inputs, and with their layers: as was asked for now,
    or as it was kept when they were looked at before.

    Raises UsageError for --outputs and --layers of two runs, and what profiling raises.
    """
    measured = asked.resume is not None or (asked.baseline is None and asked.paths[0].is_file())
    one_run = found.base.where == found.candidate.where
    if (asked.layers or asked.outputs) and not one_run:
        raise UsageError("--layers and --outputs go with two backends of one run")
    if not (one_run and any(p.rows for p in found.points)):
        return found  # where one of them can't run there is nothing to look at
    run, names = Path(found.base.where), (found.base.name, found.candidate.name)
    kept = read_kept(run, *names)
    worse = any(p.verdict is Verdict.REGRESSION and p.rows for p in found.points)
    if asked.layers or asked.outputs or measured:
        layers = asked.layers or (asked.layers is None and measured and worse)
        try:
            kept = _look(run, names, kept, asked, layers=layers)
        except HarnessError as error:
            if asked.layers or asked.outputs:
                raise
            kept = Kept(Answers((f"not compared with each other: {error.message}",)))
    elif worse and asked.layers is None and len(kept.layers) < 2:
        _tell(asked)("which layers differ: the same with --layers")
    return kept.into(found)


def _look(run: Path, names: tuple[str, str], kept: Kept, asked: Asked, *, layers: bool) -> Kept:
    """Open both again; what is seen is kept in the run directory."""
    folder = run / FOLDER
    with temporary_folder():
        both = subjects(read_run(run), *names, _tell(asked))
        kept = replace(kept, answers=compare_answers(both, folder))
        keep(run, *names, kept)
        if layers:
            try:
                blocks = profile_blocks(both, folder, _tell(asked), asked.layer_blocks)
            except HarnessError as error:
                if asked.layers:
                    raise
                _tell(asked)(f"the layers were not profiled: {error.message}")
                return kept
            kept = kept.with_layers(blocks)
            keep(run, *names, kept)
    return kept


def _tell(asked: Asked) -> Callable[[str], None]:
    return (lambda _: None) if asked.quiet else (lambda text: print(text, file=sys.stderr))


def _save(asked: Asked, file: Path) -> int:
    if len(asked.paths) != 1:
        raise UsageError("--save-baseline keeps one run directory")
    write_baseline(file, side_for_baseline(read_run(asked.paths[0]), asked.candidate))
    print(f"baseline: {file}")
    return 0


def _show(found: Sequence[Comparison], *, quiet: bool) -> None:
    console = wide_console()
    for one in found:
        if quiet:
            print(headline(one))
        else:
            console.print(terminal(one))


def marker_key(found: Sequence[Comparison]) -> str:
    """What tells one comment of a pull request from the others, and is the same the next time.

    The CI job, the model, and of backends of one run their names; runs are named by their time.
    """
    job = [os.environ.get(name, "") for name in JOB]
    first = found[0]
    model = first.base.conditions.get("model")
    said = [*job, str(model.get("name", "")) if isinstance(model, dict) else ""]
    if first.base.where == first.candidate.where:
        said += [first.base.name, first.candidate.name]
    return " / ".join(filter(None, said))


def _write(found: Sequence[Comparison], files: Files, marker: str) -> None:
    """Every file that was asked for, and the job's summary on GitHub."""
    comment = partial(markdown, key=marker or marker_key(found))
    written = (
        (files.json, data.json_text), (files.markdown, comment), (files.junit, junit),
        (files.bencher, data.bencher),
    )  # fmt: skip
    for path, make in written:
        if path is not None:
            write_file(path, make(found))
    for path, draw in ((files.html, "write_html"), (files.pdf, "write_pdf")):
        if path is not None:
            from harness.compare.outputs import page

            try:
                getattr(page, draw)(path, found)
            except OSError as error:
                raise cant_write(error, path) from error
    if summary := os.environ.get(SUMMARY):
        try:
            with Path(summary).open("a", encoding="utf-8") as file:
                file.write(comment(found))
        except OSError as error:
            raise cant_write(error, summary) from error


def write_file(path: Path, text: str) -> None:
    """Write a file whole. Raises SetupError where it can't be written."""
    try:
        write_text(path, text)
    except OSError as error:
        raise cant_write(error, path) from error
