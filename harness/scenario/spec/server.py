"""Where Triton runs: the `server` of a Triton backend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from harness.scenario.rules.base import Broken, twice
from harness.scenario.spec.fields import Address, File, Folder, MetricsUrl, Model, Words
from harness.scenario.units import PositiveDuration, Size
from harness.system.credentials import PLACEHOLDER, expand, is_hidden, is_sensitive, notice
from harness.system.network import Access, Tls

_PORTS = ("http_port", "grpc_port", "metrics_port")
_STARTED_ONLY = ("args", *_PORTS, "backend_directory", "native", "start_timeout", "trace")
_RUNNING_ONLY = ("tls", "headers", "load", "metrics_url", "telemetry")
_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_HTTP_OWN = ("host", "content-length", "inference-header-content-length", "transfer-encoding",
             "connection", "te", "content-type", "user-agent")  # fmt: skip
_RUN_OWN = ("--name", "--rm", "--detach", "-d", "--gpus", "--network", "--net", "--shm-size",
            "--publish", "-p", "--publish-all", "-P", "--cidfile")  # fmt: skip
_PUBLISH = re.compile(r"-[itd]*[pPd]")
"""Short options of `docker run` in one word."""
Port = Annotated[int, Field(gt=0, lt=65536)]


class TlsSettings(Model):
    """Encrypted connections. `tls: {}` trusts the system's certificate authorities."""

    ca: File | None = Field(None, description="certificates to trust (PEM); default: the system's")
    cert: File | None = Field(None, description="the client's certificate (PEM)")
    key: File | None = Field(None, description="the client's key (PEM, without a passphrase)")
    verify: bool = Field(True, description="whether the server's certificate is checked")

    def _broken(self) -> Iterator[Broken]:
        for key, other in (("cert", "key"), ("key", "cert")):
            if getattr(self, key) is not None and getattr(self, other) is None:
                yield Broken((key,), f"needs `{other}` beside it", on_key=True)
        if not self.verify and self.ca is not None:
            message = "is not used with `verify: false`; remove one of them"
            yield Broken(("ca",), message, on_key=True)


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

    def _broken(self) -> Iterator[Broken]:
        for index, mount in enumerate(self.mounts):
            parts = mount.split(":")
            if len(parts) not in (2, 3) or not all(parts):
                message = f"must look like HOST:CONTAINER[:ro], found '{mount}'"
                yield Broken(("mounts", index), message)
        for index, argument in enumerate(self.args):
            name = argument.partition("=")[0]
            if name in _RUN_OWN or _PUBLISH.match(name):
                yield Broken(("args", index), f"{name} is set by the harness; remove it")


class TelemetrySource(Model):
    """A `harness telemetry serve` that runs beside the server, on its host."""

    url: Address = Field(description="host:port")
    token: Annotated[str, Field(min_length=1)] = Field(
        description="`${NAME}`: the environment variable that holds the token"
    )
    tls: TlsSettings | None = Field(None, description="when it was given a certificate")

    def _broken(self) -> Iterator[Broken]:
        if not PLACEHOLDER.fullmatch(self.token):
            message = "must be ${NAME}, an environment variable; the token itself would be written "
            yield Broken(("token",), message + "into the run directory")
        notice(self.token)


class Server(Model):
    """A Triton that the harness starts (embedded, `binary` or `docker`), or one that already runs
    (`url`).
    """

    repository: Folder | None = Field(
        None, description="model repository that you already have, relative to the scenario file"
    )
    binary: File | None = Field(None, description="path of a tritonserver to run; default: ours")
    backend_directory: Folder | None = Field(
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
        60.0, description="how long the server may take to be ready"
    )
    trace: bool = Field(
        False, description="embedded: trace requests for `explain --gap`; Triton may crash of it"
    )

    @property
    def uses_native(self) -> bool:
        """Whether a model that the harness writes is for Triton's own ONNX Runtime backend."""
        return self.docker is not None if self.native is None else self.native

    def _broken(self) -> Iterator[Broken]:
        ports = [key for key in _PORTS if getattr(self, key) is not None]
        for index, port in twice(getattr(self, key) for key in ports):
            yield Broken((ports[index],), f"port {port} is there twice")
        kinds = [key for key in ("binary", "docker", "url") if getattr(self, key) is not None]
        if len(kinds) > 1:
            yield Broken((), f"give one of binary, docker and url; found {' and '.join(kinds)}")
        yield from self._broken_keys()
        if self.url is not None and self.repository is not None:
            yield Broken((), "give repository or url, not both")
        for name, value in self.headers.items():
            yield from _header(name, value)

    def _broken_keys(self) -> Iterator[Broken]:
        """Keys of a server that the harness starts beside a url, and the other way round."""
        if self.url is not None:
            why = "goes with a server that the harness starts, not with a url"
            yield from self.idle(why, *_STARTED_ONLY)
            return
        yield from self.idle("goes with the `url` of a server that already runs", *_RUNNING_ONLY)
        if self.binary is None:
            yield from self.idle("goes with `binary`", "backend_directory")
        if self.binary is not None or self.docker is not None:
            yield from self.idle("goes with the embedded server", "trace")
        if self.repository is not None:
            yield from self.idle("goes with models that the harness makes", "native")


def _header(name: str, value: str) -> Iterator[Broken]:
    """Rules of one header."""

    def broken(message: str, *, on_key: bool = True) -> Broken:
        return Broken(("headers", name), message, on_key=on_key)

    notice(value)
    if not _HEADER.fullmatch(name):
        yield broken("no header has such a name")
    if not value.isprintable():
        yield broken("must be one line of printable characters", on_key=False)
    if is_sensitive(name, value) and not is_hidden(value):
        yield broken(
            "would be written into the run directory; put the secret into an environment "
            "variable and write ${NAME} in its place"
        )
    if name.lower() in _HTTP_OWN:
        yield broken("is set by the client itself; remove it")


def access_of(server: Server) -> Access:
    """The access that a scenario's `server` describes. Raises SetupError for a variable not set."""
    return Access(tls_of(server.tls), tuple((k, expand(v)) for k, v in server.headers.items()))


def tls_of(settings: TlsSettings | None) -> Tls | None:
    """The settings as plain data."""
    return None if settings is None else Tls(**settings.model_dump())
