"""The server a Triton backend asks for: embedded with our model, over a repository, or by URL."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.backends.base import PreparedModel
from harness.errors import ServerError
from harness.scenario.schema import TritonBackend
from harness.triton.server import TritonServer


@dataclass(frozen=True, slots=True)
class Served:
    """Where the model is served; `server` is None when it is not ours to stop."""

    http: str | None
    grpc: str | None
    name: str
    server: TritonServer | None
    config: str = ""
    """The config.pbtxt that the harness wrote; empty for models that were already there."""


def launch(
    spec: TritonBackend, model: PreparedModel, *, max_batch_size: int, base: Path, log: Path,
    repository: Path,
) -> Served:  # fmt: skip
    """Start (or find) the server and load the model. Raises ServerError."""
    name = model.source.get("triton") or model.name
    settings = spec.server
    if settings.url is not None:
        http, grpc = (settings.url, None) if spec.protocol == "http" else (None, settings.url)
        return Served(http, grpc, name, None)
    from harness.run.session import worker_env
    from harness.triton.install import find
    from harness.triton.repository import device_env, write_model

    config = ""
    if settings.repository is not None:
        repository = base / settings.repository
        if not repository.is_dir():
            raise ServerError(f"{repository} is not a model repository: no such directory")
    else:
        repository.mkdir(parents=True, exist_ok=True)
        name = write_model(repository, model, spec, spec.max_batch_size or max_batch_size)
        config = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    ports = {"http": settings.http_port, "grpc": settings.grpc_port,
             "metrics": settings.metrics_port}  # fmt: skip
    server = TritonServer.start(
        find(), repository, log=log, args=settings.args, timeout=settings.start_timeout,
        ports={k: v for k, v in ports.items() if v is not None},
        env={**worker_env(base), **device_env(spec.device)}, prepared=settings.repository is None,
    )  # fmt: skip
    try:
        server.load(name, timeout=settings.start_timeout)
    except BaseException:
        server.stop()
        raise
    return Served(server.http, server.grpc, name, server, config)
