"""Start the server that a scenario describes: embedded, a local binary, or a container."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import ServerError
from harness.scenario.spec.server import Server
from harness.triton.client.settings import TritonSettings
from harness.triton.server.docker import Container
from harness.triton.server.install import TritonInstall, find, local
from harness.triton.server.process import TritonServer


def start_server(
    spec: TritonSettings, repository: Path, *, base: Path, log: Path, env: Mapping[str, str],
    prepared: bool, cache: Path | None = None, prefix: Sequence[str] = (),
) -> TritonServer:  # fmt: skip
    """Start a server over `repository`, with no model loaded; it is the caller's to stop.

    `base` is the scenario's folder, `env` what the server's environment has besides the usual;
    `prepared` says that the harness wrote every configuration, `cache` is the folder that models
    which it wrote refer to, `prefix` comes before its command. Raises ServerError.
    """
    from harness.system.environment import worker_env
    from harness.triton.repository.write import device_env

    settings = spec.server
    variables = {**device_env(spec.device), **env}
    if settings.docker is None:
        variables = {**worker_env(base), **variables}  # Python models import from there
    return TritonServer.start(
        what_runs(spec, base, cache), repository, log=log, args=settings.args,
        timeout=settings.start_timeout, env=variables, prepared=prepared,
        ports=asked_ports(settings), before=prefix, traced=settings.trace,
    )  # fmt: skip


def asked_ports(settings: Server) -> dict[str, int]:
    """The port of each service that the scenario names one for."""
    ports = {"http": settings.http_port, "grpc": settings.grpc_port,
             "metrics": settings.metrics_port}  # fmt: skip
    return {service: port for service, port in ports.items() if port is not None}


def what_runs(
    spec: TritonSettings, base: Path, cache: Path | None = None
) -> TritonInstall | Container:
    """The installation or the container. Raises ServerError where there is none."""
    settings: Server = spec.server
    if settings.docker is not None:
        gpus = None if spec.device == "cpu" else "all"
        if settings.repository is not None:
            return Container(settings.docker, base, gpus, (base / settings.repository,))
        # native models have their files beside them, the harness's model.py reads them in the cache
        folders = () if cache is None or settings.uses_native else (cache,)
        serves = {spec.serve, *(other.serve for other in spec.colocated)}
        return Container(settings.docker, base, gpus, folders, written="tensorrt" in serves)
    if settings.binary is None:
        return find()
    binary = base / settings.binary
    backends = base / settings.backend_directory if settings.backend_directory else None
    if not binary.is_file():
        raise ServerError(f"there is no tritonserver at {binary}")
    return local(binary, backends)
