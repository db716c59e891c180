"""TLS for the loop: an encrypted connection with the few methods of a socket that it uses."""

from __future__ import annotations

import functools
import socket
import ssl
from collections.abc import Sequence
from typing import TypeAlias

from harness.load.wire.sockets import CONNECT_TIMEOUT_S, connect, told
from harness.system.network import Tls, split_address
from harness.system.tls import ssl_context

Buffer = bytes | bytearray | memoryview


RECORD = 1 << 14
"""Bytes that TLS encrypts at a time: pieces up to there are joined, for each write is a record."""


class TlsStream:
    """Never blocks once it is made. A read gives at most one TLS record (16 KiB); OpenSSL takes
    no more than that from the kernel, so a descriptor that is not ready has nothing to read.
    """

    def __init__(self, secure: ssl.SSLSocket) -> None:
        secure.setblocking(False)
        self._socket = secure

    def recv_into(self, buffer: bytearray | memoryview, /) -> int:
        """As a socket's; the end without TLS's goodbye is an end too."""
        try:
            return self._socket.recv_into(buffer)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ssl.SSLEOFError:
            return 0

    def send(self, data: Buffer, flags: int = 0, /) -> int:
        """As a socket's. After BlockingIOError the same data must come again."""
        try:
            return self._socket.send(data)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def sendmsg(
        self, buffers: Sequence[Buffer], _: Sequence[tuple[int, int, Buffer]] = (),
        flags: int = 0, /,
    ) -> int:  # fmt: skip
        """As `send`: of the first pieces as many as one record takes."""
        first, size = buffers[0], 0
        if len(first) < RECORD:
            for count, piece in enumerate(buffers, 1):  # noqa: B007 - how many it takes
                size += len(piece)
                if size >= RECORD:
                    break
            first = b"".join(buffers[:count])
        return self.send(first)

    def fileno(self) -> int:
        """The descriptor, to wait on."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close it, without waiting for the other side."""
        self._socket.close()


@functools.cache  # reading the system's authorities takes milliseconds
def _context(tls: Tls, protocol: str) -> ssl.SSLContext:
    context = ssl_context(tls)
    context.set_alpn_protocols([protocol])
    return context


Stream: TypeAlias = socket.socket | TlsStream
"""What the loop reads and writes."""


def open_stream(address: str, tls: Tls | None, protocol: str = "http/1.1") -> Stream:
    """A connection to `host:port` for a `protocol` by its ALPN name. Raises ServerDiedError,
    ServerError for bad certificates.
    """
    plain = connect(address)
    if tls is None:
        return plain
    try:
        with told(address, "TLS connection"):
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(16))
            plain.settimeout(CONNECT_TIMEOUT_S)
            host = split_address(address)[0]
            return TlsStream(_context(tls, protocol).wrap_socket(plain, server_hostname=host))
    except BaseException:
        plain.close()
        raise
