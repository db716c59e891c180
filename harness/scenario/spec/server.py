"""Where Triton runs: the `server` of a Triton backend."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field

from harness.scenario.rules import base as rule_base
from harness.scenario.rules import server as server_rules
from harness.scenario.spec.fields import Address, File, MetricsUrl, Model, Words
from harness.scenario.units import PositiveDuration, Size
from harness.system import credentials as secrets
from harness.system.network import Access, Tls

Port = Annotated[int, Field(gt=0, lt=65536)]


class TlsSettings(Model):
    """Encrypted connections. `tls: {}` trusts the system's certificate authorities."""

    ca: File | None = Field(None, description="certificates to trust (PEM); default: the system's")
    cert: File | None = Field(None, description="the client's certificate (PEM)")
    key: File | None = Field(None, description="the client's key (PEM, without a passphrase)")
    verify: bool = Field(True, description="whether the server's certificate is checked")

    def _broken(self) -> Iterable[rule_base.Broken]:
        return server_rules.tls(self.model_dump())


class DockerSettings(Model):
    """A container that the harness runs for each server and removes afterwards."""

    image: Annotated[str, Field(min_length=1)] = Field(
        description="with tritonserver in it, like nvcr.io/nvidia/tritonserver:24.10-py3"
    )
    gpus: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="as `docker run --gpus`; default: all with `device: cuda`, else none"
    )
    mounts: Words = Field((), description="more volumes, each HOST:CONTAINER or HOST:CONTAINER:ro")
    network: Annotated[str, Field(min_length=1)] | None = Field(
        None, description="`host`, or a network's name; default: Docker's, ports on 127.0.0.1"
    )
    shm_size: Size | None = Field(
        1 << 30, description="of /dev/shm, which Triton's Python backend uses; default: 1GiB"
    )
    args: Words = Field((), description="more `docker run` options")
    command: Annotated[str, Field(min_length=1)] = Field(
        "docker", description="the program: docker, podman, or a path"
    )

    def _broken(self) -> Iterable[rule_base.Broken]:
        return server_rules.docker(self.model_dump())


class TelemetrySource(Model):
    """A `harness telemetry serve` that runs beside the server, on its host."""

    url: Address = Field(description="host:port")
    token: Annotated[str, Field(min_length=1)] = Field(
        description="`${NAME}`: the environment variable that holds the token"
    )
    tls: TlsSettings | None = Field(None, description="when it was given a certificate")

    def _broken(self) -> Iterable[rule_base.Broken]:
        return server_rules.telemetry_source(self.model_dump())


class Server(Model):
    """A Triton that the harness starts (embedded, `binary` or `docker`), or one that already runs
    (`url`).
    """

    repository: File | None = Field(
        None, description="model repository that you already have, relative to the scenario file"
    )
    binary: File | None = Field(None, description="path of a tritonserver to run; default: ours")
    backend_directory: File | None = Field(
        None, description="of that tritonserver; default: `backends` beside its `bin`"
    )
    docker: DockerSettings | None = Field(None, description="run tritonserver in a container")
    native: bool | None = Field(
        None,
        description="serve with Triton's own ONNX Runtime backend instead of the Python backend; "
        "default: only with `docker`",
    )
    url: Address | None = Field(None, description="host:port of a server that already runs")
    tls: TlsSettings | None = Field(None, description="url: connect by HTTPS or gRPC over TLS")
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="url: sent with each request; `${NAME}` stands for an environment variable",
    )
    load: bool = Field(
        False, description="url: ask the server to load the model, and to unload it afterwards"
    )
    metrics_url: MetricsUrl | None = Field(
        None,
        description="url: where the server's Prometheus metrics are, like host:8002; left out, "
        "they are not read",
    )
    telemetry: TelemetrySource | None = Field(
        None, description="url: where memory and GPU readings of the server's host come from"
    )
    args: Words = Field((), description="more tritonserver arguments")
    http_port: Port | None = Field(None, description="default: a free one")
    grpc_port: Port | None = Field(None, description="default: a free one")
    metrics_port: Port | None = Field(None, description="default: a free one")
    start_timeout: PositiveDuration = Field(
        "60s", validate_default=True, description="how long the server may take to be ready"
    )

    @property
    def uses_native(self) -> bool:
        """Whether a model that the harness writes is for Triton's own ONNX Runtime backend."""
        return self.docker is not None if self.native is None else self.native

    def _broken(self) -> Iterable[rule_base.Broken]:
        return server_rules.server(self.model_dump())


def access_of(server: Server) -> Access:
    """The access that a scenario's `server` describes. Raises SetupError for a variable not set."""
    return Access(
        tls_of(server.tls), tuple((k, secrets.expand(v)) for k, v in server.headers.items())
    )


def tls_of(settings: TlsSettings | None) -> Tls | None:
    """The settings as plain data."""
    return None if settings is None else Tls(**settings.model_dump())
