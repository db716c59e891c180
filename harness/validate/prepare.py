"""`harness prepare`: a scenario's model exported in this process, and a repository filled."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from harness.models.prepare import prepare
from harness.results.rows import ArtifactRow
from harness.run.session.preparing import formats
from harness.scenario.reading.loader import LoadedScenario
from harness.system.credentials import outward
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.triton.repository.fill import Filled, fill


@dataclass(frozen=True, slots=True)
class Exported:
    """What is in the cache now, and in the repository."""

    artifacts: Sequence[ArtifactRow]
    failures: Mapping[str, str]
    """Format → why it could not be made."""
    repository: Sequence[Filled]


def export(loaded: LoadedScenario, repository: Path | None = None) -> Exported:
    """Export the model as every backend needs it and, if given, fill a Triton repository.

    The scenario's folder and the current one can be imported from, as in a worker: after all that
    is installed.
    """
    scenario, base = loaded.scenario, loaded.path.resolve().parent
    sys.path += [str(base), str(Path.cwd())]
    wanted = set(formats(scenario)) | ({"onnx", "onnx_fp16"} if repository is not None else set())
    with temporary_folder():
        model, rows = prepare(
            scenario.model, sorted(wanted), scenario.load.batch_sizes, cache_directory(), base=base
        )
        filled = [] if repository is None else fill(repository, model, cache_directory())
    return Exported(rows, model.failures, filled)


def show(found: Exported, repository: Path | None) -> None:
    """Print what was made, and what could not be."""
    _print_table(
        ("format", "bytes", "seconds", "", "file"),
        [(r.format, f"{r.bytes:,}", f"{r.seconds:.1f} s", "cached" if r.cached else "made", r.path)
         for r in found.artifacts],
    )  # fmt: skip
    for format, reason in found.failures.items():
        click.echo(outward(f"{format} could not be made: {reason}"), err=True)
    if repository is not None:
        click.echo(f"\n{repository}:")
        _print_table(
            ("model", "bytes", "seconds", ""),
            [(r.name, f"{r.bytes:,}", f"{r.seconds:.1f} s", r.missing or "ready")
             for r in found.repository],
        )  # fmt: skip


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            c.rjust(w) if 0 < i < 3 else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
