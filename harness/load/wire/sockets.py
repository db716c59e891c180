"""The sockets of a load: plain TCP, set up for a loop that never waits to write."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

from harness.errors import ServerDiedError
from harness.load.wire.poller import TICK_S
from harness.system.network import split_address

CONNECT_TIMEOUT_S = 5.0


def connect(address: str) -> socket.socket:
    """A connected socket without Nagle's delay. Raises ServerDiedError when nobody answers,
    ServerError for what is no address.

    Its reads block for at most `TICK_S`, so a loop with one socket can wait in the read itself;
    writes use MSG_DONTWAIT.
    """
    with told(address):
        return _set(socket.create_connection(split_address(address), CONNECT_TIMEOUT_S))


def connect_at_once(family: int, peer: tuple[object, ...], count: int) -> list[socket.socket]:
    """So many sockets as `connect` makes, without waiting: what is sent too early leaves when it
    can, and a refusal comes with the first read. `family` and `peer` are those of one that is
    connected.
    """
    made = [socket.socket(family) for _ in range(count)]
    for sock in made:
        sock.setblocking(False)
    for sock in made:
        sock.connect_ex(peer)
    return [*map(_set, made)]


@contextlib.contextmanager
def told(address: str, what: str = "connection") -> Iterator[None]:
    """What fails here is a server that can't be reached: ServerDiedError."""
    try:
        yield
    except OSError as error:
        raise ServerDiedError(f"no {what} to the server at {address}: {error}") from error


def _set(sock: socket.socket) -> socket.socket:
    sock.settimeout(None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    limit = struct.pack("ll", 0, int(TICK_S * 1e6))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    return sock
