"""`harness telemetry`: memory and GPU readings for runs that measure a server on another host."""

from __future__ import annotations

from pathlib import Path

import click

from harness.system import options


@click.group()
def command() -> None:
    """Sample a server's process tree and GPU for runs on another host."""


@command.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=9110, show_default=True,
              help="0: a free one.")  # fmt: skip
@click.option("--token-env", default="HARNESS_TELEMETRY_TOKEN", show_default=True, metavar="NAME",
              help="Environment variable with the token that readers must show.")  # fmt: skip
@click.option("--pid", "pids", type=click.IntRange(1), multiple=True,
              help="Process to watch, with all its descendants; repeatable.")  # fmt: skip
@click.option("--name", help="Name of the processes to watch; default: tritonserver.")
@click.option("--gpu", default="cuda", show_default=True,
              help="GPU to read: cuda:N, a UUID, or none.")  # fmt: skip
@click.option("--keep", default="15m", show_default=True, help="How long readings are kept.")
@click.option("--cert", type=options.FILE, help="Serve HTTPS with this certificate (PEM).")
@click.option("--key", type=options.FILE, help="The certificate's key (PEM).")
def serve(
    host: str, port: int, token_env: str, pids: tuple[int, ...], name: str | None, gpu: str,
    keep: str, cert: Path | None, key: Path | None,
) -> None:  # fmt: skip
    """Sample beside a server until Ctrl-C; runs fetch the readings over HTTP.

    In the run's scenario: server: {url: …, telemetry: {url: "HOST:PORT", token: "${NAME}"}}.
    """
    from harness.errors import UsageError
    from harness.scenario.units import parse_duration
    from harness.telemetry.serve import serve, token_of

    if pids and name:
        raise UsageError("give --pid or --name, not both")
    if (cert is None) != (key is None):
        raise UsageError("--cert and --key go together")
    try:
        seconds = parse_duration(keep)
    except ValueError as error:
        raise UsageError(f"--keep: {error}") from None
    serve(
        (host, port), token_of(token_env), pids or name or "tritonserver", click.echo,
        gpu=None if gpu == "none" else gpu, keep=seconds,
        certificate=(cert, key) if cert is not None and key is not None else None,
    )  # fmt: skip
