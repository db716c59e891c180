"""Encrypted connections: client contexts from a scenario's TLS settings.

Apart from `harness.system.network`, whose data travel everywhere: an interpreter that is embedded
in a server may have no `ssl` at all.
"""

from __future__ import annotations

import http.client
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from typing_extensions import TypedDict

from harness.errors import ServerError, UsageError
from harness.system.files import read_bytes, require_regular
from harness.system.network import Tls, split_address

if TYPE_CHECKING:
    import grpc

HANDSHAKE_S = 5.0
LARGEST = 2**24
"""Bytes of a file of certificates; all that a system trusts are a quarter of a million."""


def http_connection(
    address: tuple[str, int], tls: Tls | None, timeout: float
) -> http.client.HTTPConnection:
    """Not connected yet; with TLS where there are settings. Raises ServerError."""
    if tls is None:
        return http.client.HTTPConnection(*address, timeout=timeout)
    return http.client.HTTPSConnection(*address, timeout=timeout, context=ssl_context(tls))


class _Certificate(TypedDict, total=False):
    """The part of `getpeercert()` that says whom it is for."""

    subjectAltName: tuple[tuple[str, str], ...]
    subject: tuple[tuple[tuple[str, str], ...], ...]


class SslModule(Protocol):
    """`ssl`, or a module like it."""

    def create_default_context(self, *, cafile: str | None) -> ssl.SSLContext:
        """A client's context that trusts `cafile`, or the system's authorities."""
        ...


def ssl_context(tls: Tls, module: SslModule = ssl) -> ssl.SSLContext:
    """A client's SSLContext. Raises ServerError."""
    try:
        for path in filter(None, (tls.ca, tls.cert, tls.key)):
            require_regular(Path(path), LARGEST)
        context = module.create_default_context(cafile=tls.ca)
        if not tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if tls.cert:
            context.load_cert_chain(tls.cert, tls.key, password="")  # "": an error, not a prompt
    except (OSError, ValueError, UsageError) as error:  # ssl.SSLError is an OSError
        files = ", ".join(filter(None, (tls.ca, tls.cert, tls.key)))
        raise ServerError(
            f"the certificates can't be used ({files}): {error}",
            fix="tls: ca, cert and key are PEM files; the key must have no passphrase",
        ) from None
    return context


def grpc_credentials(
    address: str, tls: Tls
) -> tuple[grpc.ChannelCredentials, list[tuple[str, str]]]:
    """gRPC channel credentials, and the channel options that go with them. Raises ServerError.

    gRPC always verifies. Without `verify`, the certificate that the server shows now is taken for
    an authority, and its own name for the one expected.
    """
    import grpc

    options: list[tuple[str, str]] = []
    roots = _read(tls.ca)
    if not tls.verify:
        roots, name = _shown(address)
        options = [("grpc.ssl_target_name_override", name)] if name else []
    credentials = grpc.ssl_channel_credentials(roots, _read(tls.key), _read(tls.cert))
    return credentials, options


def speaks_tls(address: str) -> bool:
    """Whether whoever listens there answers a TLS handshake; False where it can't be asked."""
    try:
        ssl.get_server_certificate(split_address(address), timeout=HANDSHAKE_S)
    except ssl.SSLError as error:  # an alert is an answer in TLS
        return "ALERT" in str(error).upper()
    except OSError:
        return False
    return True


def _read(path: str | None) -> bytes | None:
    if path is None:
        return None
    try:
        return read_bytes(Path(path), LARGEST)
    except (OSError, UsageError) as error:
        raise ServerError(f"{path} can't be read: {error}") from None


def _shown(address: str) -> tuple[bytes, str]:
    """The certificate that the server shows (PEM), and a name that it is for."""
    import socket

    host, port = split_address(address)
    try:
        pem = ssl.get_server_certificate((host, port), timeout=HANDSHAKE_S)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # it is no authority
        context.load_verify_locations(cadata=pem)
        with (
            socket.create_connection((host, port), HANDSHAKE_S) as plain,
            context.wrap_socket(plain) as secure,
        ):
            shown = cast("_Certificate", secure.getpeercert() or {})
    except OSError as error:
        raise ServerError(f"no TLS connection to {address}: {error}") from None
    names = [value for kind, value in shown.get("subjectAltName", ()) if kind == "DNS"]
    names += [v for part in shown.get("subject", ()) for k, v in part if k == "commonName"]
    return pem.encode(), names[0].replace("*", "x") if names else ""
