"""How a server wants to be talked to: TLS, and headers that each request carries."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from harness.errors import ServerError


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypt, and whom to trust. Paths of PEM files; without `ca`, the system's authorities."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    """The client's certificate and key, for servers that ask for one."""
    verify: bool = True


@dataclass(frozen=True, slots=True)
class Access:
    """Plain connections without headers, unless said otherwise."""

    tls: Tls | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Name and value, with the values of environment variables in place: secret."""

    @property
    def scheme(self) -> str:
        """`http` or `https`."""
        return "https" if self.tls else "http"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers as gRPC metadata, whose names are in small letters."""
        return tuple((name.lower(), value) for name, value in self.headers)


PLAIN = Access()


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`, `[v6]:port`. Raises ServerError."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ServerError(f"'{address}' is not an address like localhost:8000")
    return host.strip("[]"), int(port)


def is_loopback(host: str) -> bool:
    """Whether an address, or `localhost`, is reached from this machine only."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == "localhost"
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
