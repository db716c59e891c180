"""`harness prepare`: export a scenario's model into the cache, and fill a model repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from harness.cli import options

DEFAULT = Path("scenarios/resnet50-gpu.yaml")


@click.command("prepare")
@click.argument("scenario", default=DEFAULT, type=options.PATH)
@options.overrides
@click.option(
    "--repository", type=options.FOLDER, metavar="DIR",
    help="Fill this Triton model repository, e.g. model_repository.",
)  # fmt: skip
def command(scenario: Path, overrides: tuple[str, ...], repository: Path | None) -> None:
    """Export the model of SCENARIO into the cache, as every backend in it needs the model.

    With --repository, the model also goes into that repository in three variants: Python backend,
    ONNX Runtime and TensorRT. A variant that this machine can't make is named with the reason.
    """
    from harness.run.prepare import export
    from harness.scenario.reading.loader import load
    from harness.system.credentials import outward

    found = export(load(scenario, overrides), repository)
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
