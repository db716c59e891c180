"""`harness prepare`: a scenario's model exported in this process, and a repository filled."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from harness.errors import SetupError, class_of
from harness.models.precision import check_precision
from harness.models.prepare import prepare
from harness.results.rows import ArtifactRow, ParityRow
from harness.run.session.preparing import formats
from harness.scenario.reading.loader import LoadedScenario
from harness.system.credentials import outward
from harness.system.paths import cache_directory
from harness.system.scratch import temporary_folder
from harness.validate.repository import Filled, fill
from harness.validate.steps import Workshop

HEAD = ("step", "bytes", "seconds", "", "parity", "file")


@dataclass(frozen=True, slots=True)
class Exported:
    """What is in the cache now, and in the repository."""

    artifacts: Sequence[ArtifactRow]
    failures: Mapping[str, str]
    """Format, or name of a TensorRT backend → why it could not be made."""
    repository: Sequence[Filled]
    parity: Mapping[str, Sequence[ParityRow]] = field(default_factory=dict)
    """Format, or name of a TensorRT backend → its outputs against the reference."""

    needed: frozenset[str] = frozenset()
    """Formats that the scenario's backends need, and the backends' own names."""
    lacking: frozenset[str] = frozenset()
    """Those of the failures that are for want of something on this machine."""

    @property
    def exit_code(self) -> int:
        """1 where a backend lacks what it needs, or something that was made is wrong; 3 where only
        this machine lacks something.
        """
        wrong = any(r.status == "disagrees" for rows in self.parity.values() for r in rows)
        failed = self.needed & self.failures.keys()
        if wrong or failed - self.lacking:
            return 1
        return SetupError.exit_code if failed else 0


def export(loaded: LoadedScenario, repository: Path | None = None) -> Exported:
    """Export the model as every backend needs it and, if given, fill a Triton repository.

    Without a repository the engines of TensorRT backends are built too. The scenario's folder and
    the current one can be imported from, as in a worker: after all that is installed.
    """
    scenario, base = loaded.scenario, loaded.path.resolve().parent
    sys.path += [str(base), str(Path.cwd())]
    wanted = set(formats(scenario)) | ({"onnx", "onnx_fp16"} if repository is not None else set())
    with temporary_folder():
        model, rows = prepare(
            scenario.model, sorted(wanted), scenario.load.batch_sizes, cache_directory(), base=base
        )
        check_precision(model, scenario.backends)
        steps = list(Workshop(scenario, model, cache_directory()).steps(engines=repository is None))
        filled = [] if repository is None else fill(repository, model, cache_directory())
    engines = [step.engine for step in steps if step.engine is not None]
    failures = {format: why for format, (_, why, _) in model.failures.items()}
    failures |= {step.name: step.failure for step in steps if step.failure}
    parity = {step.name: step.parity for step in steps if step.parity}
    needed = frozenset([*formats(scenario), *(b.name for b in scenario.backends)])
    lacking = frozenset(
        format for format, (reason, *_) in model.failures.items()
        if issubclass(class_of(reason), SetupError)
    )  # fmt: skip
    return Exported([*rows, *engines], failures, filled, parity, needed, lacking)


def show(found: Exported, repository: Path | None) -> None:
    """Print what was made, and what could not be."""
    _print_table(HEAD, list(_lines(found)))
    for row in found.artifacts:
        if reason := row.details.get("fallback_reason"):
            click.echo(
                outward(f"{row.format}: by tracing, branches as taken once: {reason}"), err=True
            )
    for name, rows in found.parity.items():
        for message in dict.fromkeys(r.message for r in rows if r.message):
            click.echo(outward(f"{name}: {message}"), err=True)
    for format, reason in found.failures.items():
        click.echo(outward(f"{format} could not be made: {reason}"), err=True)
    if repository is not None:
        click.echo(f"\n{repository}:")
        _print_table(
            ("model", "bytes", "seconds", ""),
            [(r.name, f"{r.bytes:,}", f"{r.seconds:.1f} s", r.missing or "ready")
             for r in found.repository],
        )  # fmt: skip


def _lines(found: Exported) -> Iterator[tuple[str, ...]]:
    """A step a line; without ONNX nothing is compared, and the weights are all there is."""
    for row in found.artifacts:
        name = str(row.details.get("backend", row.format))
        weights = row.format in ("state_dict", "exported_program")
        parity = "reference" if weights else _words(found.parity.get(name, ()))
        made = "cached" if row.cached else "made"
        yield name, f"{row.bytes:,}", f"{row.seconds:.1f} s", made, parity, row.path


def _words(rows: Sequence[ParityRow]) -> str:
    """Of all batch sizes together: the worst of them."""
    statuses = {row.status for row in rows}
    if "disagrees" in statuses:
        return "DISAGREES"
    errors = [row.max_abs_error for row in rows if row.max_abs_error is not None]
    return f"agrees, off by ≤ {max(errors):.1e}" if errors else "not compared"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            c.rjust(w) if 0 < i < 3 else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
