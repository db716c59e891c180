"""A deadline on whole exchanges, for a client whose own is one for each read.

The official HTTP client reads for as long as bytes come, and its event loop can't step in while
they never cease. So a thread beside it looks a few times a second, which costs a request next to
nothing, and shuts the connection of an exchange that has lasted, or sent, too much.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gevent.socket

TICK_S, LATE = 0.1, "late"
LARGEST = 2 << 30
"""Bytes of one answer, as protobuf has it for gRPC."""
_RECEIVED = struct.Struct("Q")
_RECEIVED_AT = 128
"""Where Linux's `struct tcp_info` has `tcpi_bytes_received`."""


class Exchange:
    """What goes on over one connection: the client's thread sets `until`, the watch ends it."""

    def __init__(self) -> None:
        self.until = math.inf
        """Monotonic seconds; infinite while nothing goes on."""
        self.ended = ""
        """Why the watch ended the latest one: `LATE`, or what was wrong; empty if it did not."""
        self.socket: gevent.socket.socket | None = None
        self._seen = (math.inf, 0)
        """Which exchange the last look saw, and what had come before it."""

    def begin(self, seconds: float) -> None:
        """An exchange begins that may last so long."""
        self.ended = ""
        self.until = time.monotonic() + seconds

    def look(self, now: float) -> None:
        """End an exchange that is late or too large. Of the watching thread."""
        until, received = self.until, self._received()
        if self._seen[0] != until:
            self._seen = until, received
        if until < now:
            self._shut(until, LATE)
        elif until < math.inf and received - self._seen[1] > LARGEST:
            self._shut(until, f"more than {LARGEST} bytes")

    def _received(self) -> int:
        with contextlib.suppress(OSError, AttributeError, struct.error):
            size = _RECEIVED_AT + _RECEIVED.size
            data = self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, size)  # type: ignore[union-attr]
            return int(_RECEIVED.unpack_from(data, _RECEIVED_AT)[0])
        return 0

    def _shut(self, until: float, why: str) -> None:
        """Shut a copy of the socket: its own methods belong to the thread of the client's loop."""
        mine = self.socket
        if mine is None or (number := mine.fileno()) < 0:
            return
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(number)) as copy:
            if self.until == until and mine.fileno() == number:  # so the number was still its own
                self.ended = why
                copy.shutdown(socket.SHUT_RDWR)


class Watch:
    """One thread for all exchanges of a process; it starts with the first."""

    def __init__(self) -> None:
        self._exchanges: set[Exchange] = set()
        self._lock = threading.Lock()
        self._running = False

    def add(self, exchange: Exchange) -> None:
        """Look after it from now on."""
        with self._lock:
            self._exchanges.add(exchange)
            if not self._running:
                self._running = True
                threading.Thread(target=self._follow, daemon=True).start()

    def remove(self, exchange: Exchange) -> None:
        """Look after it no more."""
        with self._lock:
            self._exchanges.discard(exchange)

    def _follow(self) -> None:
        while True:
            time.sleep(TICK_S)
            with self._lock:
                if not self._exchanges:
                    self._running = False
                    return
                exchanges = list(self._exchanges)
            for exchange in exchanges:
                exchange.look(time.monotonic())


WATCH = Watch()
