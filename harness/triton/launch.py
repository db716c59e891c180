"""The server a Triton backend asks for: embedded with our model, over a repository, or by URL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    loaded: Mapping[str, Any] = field(default_factory=dict)
    """What an instance said about the TensorRT engine it loaded."""


def launch(
    spec: TritonBackend, model: PreparedModel, *, max_batch_size: int, base: Path, log: Path,
    repository: Path, cache: Path | None = None, load_timeout: float = 0.0,
) -> Served:  # fmt: skip
    """Start (or find) the server and load the model. Raises ServerError.

    TensorRT engines are kept in `cache`; building one may take up to `load_timeout` seconds.
    """
    name = model.source.get("triton") or model.name
    settings = spec.server
    if settings.url is not None:
        http, grpc = (settings.url, None) if spec.protocol == "http" else (None, settings.url)
        return Served(http, grpc, name, None)
    from harness.run.session import worker_env
    from harness.triton.engine import check_engine
    from harness.triton.install import find
    from harness.triton.repository import device_env, write_model

    config = ""
    if settings.repository is not None:
        repository = base / settings.repository
        if not repository.is_dir():
            raise ServerError(f"{repository} is not a model repository: no such directory")
    else:
        repository.mkdir(parents=True, exist_ok=True)
        name = write_model(repository, model, spec, spec.max_batch_size or max_batch_size, cache)
        config = (repository / name / "config.pbtxt").read_text(encoding="utf-8")
    ports = {"http": settings.http_port, "grpc": settings.grpc_port,
             "metrics": settings.metrics_port}  # fmt: skip
    server = TritonServer.start(
        find(), repository, log=log, args=settings.args, timeout=settings.start_timeout,
        ports={k: v for k, v in ports.items() if v is not None},
        env={**worker_env(base), **device_env(spec.device)}, prepared=settings.repository is None,
    )  # fmt: skip
    building = load_timeout if spec.serve == "tensorrt" else 0.0
    try:
        server.load(name, timeout=max(settings.start_timeout, building))
        loaded = check_engine(repository / name) if spec.serve == "tensorrt" else {}
    except BaseException:
        server.stop()
        raise
    return Served(server.http, server.grpc, name, server, config, loaded)
