"""`harness prepare`: export a scenario's model into the cache, and fill a model repository."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from harness.results.rows import ArtifactRow
    from harness.triton.repository.fill import Filled

DEFAULT = Path("scenarios/resnet50-gpu.yaml")


@click.command("prepare")
@click.argument("scenario", default=DEFAULT, type=click.Path(path_type=Path))
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a value; repeatable."
)
@click.option(
    "--repository", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
    help="Fill this Triton model repository, e.g. model_repository.",
)  # fmt: skip
def command(scenario: Path, overrides: tuple[str, ...], repository: Path | None) -> None:
    """Export the model of SCENARIO into the cache, as every backend in it needs the model.

    With --repository, the model also goes into that repository in three variants: Python backend,
    ONNX Runtime and TensorRT. A variant that this machine can't make is named with the reason.
    """
    import sys

    from harness.models.prepare import prepare
    from harness.run.session.preparing import formats
    from harness.scenario.reading.loader import load
    from harness.system.paths import cache_directory

    found = load(scenario, overrides).scenario
    base = scenario.resolve().parent
    sys.path[:0] = [str(base), str(Path.cwd())]  # as in a worker: the user's modules
    wanted = set(formats(found))
    if repository is not None:
        wanted |= {"onnx", "onnx_fp16"}
    model, rows = prepare(
        found.model, sorted(wanted), found.load.batch_sizes, cache_directory(), base=base
    )
    _print_artifacts(rows)
    for format, reason in model.failures.items():
        click.echo(f"{format} could not be made: {reason}", err=True)
    if repository is not None:
        from harness.triton.repository.fill import fill

        _print_filled(repository, fill(repository, model, cache_directory()))


def _print_artifacts(rows: list[ArtifactRow]) -> None:
    cells = [(r.format, _size(r.bytes), f"{r.seconds:.1f} s", "cached" if r.cached else "made",
              r.path) for r in rows]  # fmt: skip
    _print_table(("format", "bytes", "seconds", "", "file"), cells)


def _print_filled(repository: Path, rows: list[Filled]) -> None:
    click.echo(f"\n{repository}:")
    cells = [(r.name, _size(r.bytes), f"{r.seconds:.1f} s", r.missing or "ready") for r in rows]
    _print_table(("model", "bytes", "seconds", ""), cells)


def _size(size: int) -> str:
    return f"{size:,}"


def _print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        cells = (
            c.rjust(w) if 0 < i < 3 else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        )
        click.echo("  ".join(cells).rstrip())
