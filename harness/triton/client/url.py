"""The address of a running Triton as a command line says it: `http://host:8000`, `grpc://host:8001`.

`https` and `grpcs` are the same over TLS. Without a scheme it is HTTP, at port 8001 (which is
Triton's for gRPC) gRPC. A port that is not there is Triton's own, or 443 over TLS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from harness.errors import UsageError
from harness.system.credentials import expand
from harness.system.network import PLAIN, Access, Tls
from harness.triton.client.backend import connect
from harness.triton.client.common import ServerTarget
from harness.triton.client.connection import Connection

PORTS = {"http": 8000, "grpc": 8001, "https": 443, "grpcs": 443}
METRICS_PORT = 8002
TIMEOUT_S = 10.0
"""How long a call to a server may take where nothing else says it."""


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Where a server is, and how it wants to be talked to."""

    protocol: str
    """`http` or `grpc`."""
    host: str
    port: int
    access: Access = PLAIN

    @property
    def address(self) -> str:
        """`host:port`, with a v6 address in brackets."""
        return f"{self._host}:{self.port}"

    @property
    def text(self) -> str:
        """The whole URL; it holds no secret."""
        return f"{self.protocol}{'s' if self.access.tls else ''}://{self.address}"

    @property
    def metrics(self) -> str | None:
        """Where its metrics usually are; None where its port is not one of Triton's own."""
        usual = self.port in (PORTS["http"], PORTS["grpc"])
        return f"{self._host}:{METRICS_PORT}" if usual else None

    @property
    def _host(self) -> str:
        return f"[{self.host}]" if ":" in self.host else self.host

    def connect(self, model: str = "", timeout: float = TIMEOUT_S) -> Connection:
        """A connection of the official client, about one model or about none.

        Raises MissingPackageError; whether somebody is there, the first call says.
        """
        target = ServerTarget(self.address, model, timeout, access=self.access)
        return connect(self.protocol, target)


def parse_url(
    text: str, headers: Sequence[str] = (), ca: str | None = None, *, verify: bool = True
) -> ServerUrl:
    """A URL; `headers` are `NAME: VALUE`, where `${NAME}` is an environment variable.

    Raises UsageError for what is none, SetupError for a variable that is not set.
    """
    scheme = text.partition("://")[0].lower() if "://" in text else ""
    if scheme and scheme not in PORTS:
        raise _bad(text, f"'{scheme}' is no protocol of Triton")
    try:
        parts = urlsplit(text if scheme else f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad(text, str(error)) from None
    if not host:
        raise _bad(text, "it names no host")
    if parts.username is not None or parts.password is not None:
        message = "a URL can't hold a password here: it would be shown"
        raise UsageError(message, fix="--header 'Authorization: Basic ${NAME}'")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _bad(text, "nothing may stand behind the port")
    scheme = scheme or ("grpc" if port == PORTS["grpc"] else "http")
    tls = Tls(ca=ca, verify=verify) if scheme.endswith("s") else None
    if tls is None and (ca is not None or not verify):
        raise _bad(text, "--ca and --insecure go with https and grpcs")
    access = Access(tls, tuple(map(_header, headers)))
    return ServerUrl(scheme.removesuffix("s"), host, port or PORTS[scheme], access)


def is_url(text: str) -> bool:
    """Whether a word is meant as the address of a server, rather than as a file or a module."""
    host, colon, port = text.rpartition(":")
    return "://" in text or bool(colon and host and port.isdigit() and "/" not in host)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not value.strip():
        raise UsageError(
            "--header expects NAME: VALUE", fix="--header 'Authorization: Bearer ${TOKEN}'"
        )
    return name.strip(), expand(value.strip())


def _bad(text: str, why: str) -> UsageError:
    return UsageError(
        f"'{text}' is not the URL of a Triton server: {why}",
        fix="http://HOST:8000 or grpc://HOST:8001; https and grpcs over TLS",
    )
