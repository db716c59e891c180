"""Rules of `server`: where Triton runs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.scenario.rules.base import Broken, Data, as_list, as_map, as_word, is_map, twice, under
from harness.system.credentials import is_sensitive

_PORTS = ("http_port", "grpc_port", "metrics_port")
_OURS_ONLY = ("args", *_PORTS, "backend_directory", "native")
_THEIRS_ONLY = ("tls", "headers", "load", "metrics_url", "telemetry")
_VARIABLE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def server(data: Data) -> Iterator[Broken]:
    """Rules of a Triton backend's `server`."""
    ports = [key for key in _PORTS if data.get(key) is not None]
    for index, port in twice(data[key] for key in ports):
        yield Broken((ports[index],), f"port {port} is there twice")
    kinds = [key for key in ("binary", "docker", "url") if data.get(key) is not None]
    if len(kinds) > 1:
        yield Broken((), f"give one of binary, docker and url; found {' and '.join(kinds)}")
    yield from _of_the_other_kind(data)
    if data.get("url") is not None and data.get("repository") is not None:
        yield Broken((), "give repository or url, not both")
    yield from _headers(as_map(data.get("headers")))
    if is_map(data.get("docker")):
        yield from under(("docker",), docker(data["docker"]))
    yield from under(("tls",), tls(as_map(data.get("tls"))))
    if is_map(data.get("telemetry")):
        yield from under(("telemetry",), telemetry_source(data["telemetry"]))


def _of_the_other_kind(data: Data) -> Iterator[Broken]:
    """Keys of a server that the harness starts beside a url, and the other way round."""
    theirs = data.get("url") is not None
    for key in _OURS_ONLY if theirs else _THEIRS_ONLY:
        if data.get(key) or (key == "tls" and is_map(data.get(key))):
            message = (
                "goes with a server that the harness starts, not with a url; remove it"
                if theirs else "goes with the `url` of a server that already runs; remove it"
            )  # fmt: skip
            yield Broken((key,), message, on_key=True)
    if data.get("backend_directory") and data.get("binary") is None and not theirs:
        yield Broken(("backend_directory",), "goes with `binary`; remove it", on_key=True)


def _headers(headers: Data) -> Iterator[Broken]:
    for name, value in headers.items():
        if not _HEADER.fullmatch(str(name)):
            yield Broken(("headers", name), "no header has such a name", on_key=True)
        if isinstance(value, str) and not value.isprintable():
            yield Broken(("headers", name), "must be one line of printable characters")
        if is_sensitive(str(name)) and not _VARIABLE.search(as_word(value)):
            message = (
                "would be written into the run directory; put the secret into an environment "
                "variable and write ${NAME} in its place"
            )
            yield Broken(("headers", name), message, on_key=True)
        if str(name).lower() in _HTTP_OWN:
            yield Broken(("headers", name), "is set by the client itself; remove it", on_key=True)


_HEADER = re.compile(r"[A-Za-z0-9_-]+")
_HTTP_OWN = ("host", "content-length", "inference-header-content-length", "transfer-encoding",
             "connection", "te", "content-type", "user-agent")  # fmt: skip


def tls(data: Data) -> Iterator[Broken]:
    """Rules of `tls`."""
    for key, other in (("cert", "key"), ("key", "cert")):
        if data.get(key) is not None and data.get(other) is None:
            yield Broken((key,), f"needs `{other}` beside it", on_key=True)
    if data.get("verify") is False and data.get("ca") is not None:
        yield Broken(("ca",), "is not used with `verify: false`; remove one of them", on_key=True)


_RUN_OWN = ("--name", "--rm", "--detach", "-d", "--gpus", "--network", "--net", "--shm-size",
            "--publish", "-p", "--cidfile")  # fmt: skip


def docker(data: Data) -> Iterator[Broken]:
    """Rules of `server.docker`."""
    for index, mount in enumerate(as_list(data.get("mounts"))):
        parts = as_word(mount).split(":")
        if isinstance(mount, str) and (len(parts) not in (2, 3) or not all(parts)):
            yield Broken(("mounts", index), f"must look like HOST:CONTAINER[:ro], found '{mount}'")
    for index, argument in enumerate(as_list(data.get("args"))):
        name = as_word(argument).partition("=")[0]
        if name in _RUN_OWN:
            yield Broken(("args", index), f"{name} is set by the harness; remove it")


def telemetry_source(data: Data) -> Iterator[Broken]:
    """Rules of `server.telemetry`."""
    token = data.get("token")
    if isinstance(token, str) and not _VARIABLE.fullmatch(token):
        message = "must be ${NAME}, an environment variable; the token itself would be written "
        yield Broken(("token",), message + "into the run directory")
    yield from under(("tls",), tls(as_map(data.get("tls"))))
