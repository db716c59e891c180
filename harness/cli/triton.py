"""`harness triton`: the embedded Triton server."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def command() -> None:
    """Install and inspect the embedded Triton server."""


@command.command()
@click.option(
    "--directory", type=click.Path(file_okay=False, path_type=Path),
    help="Where to; default: HARNESS_TRITON_DIR, or the user's data directory.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Install nothing; start the server once and stop it.")
def install(directory: Path | None, check: bool) -> None:
    """Install the embedded Triton: a real tritonserver from PyPI, in a folder of its own."""
    from harness.triton import install as triton

    if check:
        found = triton.find(directory)
        version, seconds = triton.try_out(found)
        click.echo(f"Triton {version} in {found.root}: ready after {seconds:.2f} s")
        return
    found = triton.install(directory)
    click.echo(f"Triton (nvidia-pytriton {found.version}) in {found.root}")
