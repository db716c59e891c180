"""`harness triton`: the embedded Triton server."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options


@click.group()
def command() -> None:
    """Install, inspect and run the embedded Triton server."""


@command.command()
@click.option(
    "--directory", type=options.FOLDER,
    help="Where to; default: HARNESS_TRITON_DIR, or the user's data directory.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Install nothing; start the server once and stop it.")
def install(directory: Path | None, check: bool) -> None:
    """Install the embedded Triton: a real tritonserver from PyPI, in a folder of its own."""
    from harness.triton.server import install as triton
    from harness.triton.server.process import try_out

    if check:
        found = triton.find(directory)
        version, seconds = try_out(found)
        click.echo(f"Triton {version} in {found.root}: ready after {seconds:.2f} s")
        return
    found = triton.install(directory)
    click.echo(f"Triton (nvidia-pytriton {found.version}) in {found.root}")


@command.command()
@click.option(
    "--repository", default=Path("model_repository"), show_default=True,
    type=options.FOLDER, help="Model repository to serve.",
)  # fmt: skip
@click.option("--http-port", type=options.PORT, default=8000, show_default=True)
@click.option("--grpc-port", type=options.PORT, default=8001, show_default=True)
@click.option("--metrics-port", type=options.PORT, default=8002, show_default=True)
@click.option("--model", "models", multiple=True, help="Load only this model; repeatable.")
def serve(
    repository: Path, http_port: int, grpc_port: int, metrics_port: int, models: tuple[str, ...]
) -> None:
    """Serve a model repository with the embedded Triton on 127.0.0.1, until Ctrl-C.

    Models that it can't run, such as TensorRT plans, are left out and named.
    """
    from harness.monitor.serve import serve as run

    ports = {"http": http_port, "grpc": grpc_port, "metrics": metrics_port}
    run(repository, ports, models, click.echo)
