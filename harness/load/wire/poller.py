"""Waiting on many sockets, to the microsecond."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Callable

READ, WRITE = select.EPOLLIN, select.EPOLLOUT
DONTWAIT = socket.MSG_DONTWAIT
TICK_S = 0.05
"""The longest wait of a loop, so that it sees a stop or a time-out."""
COARSE_S = 0.002
BUFFER = 1 << 18
BURST = 64
"""Writes in a row on one connection, of a TLS record at least; then the others get their turn."""
Handler = Callable[[int], None]


class Poller:
    """One epoll and a handler for each socket."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self.woke = 0
        """When the last wait ended, monotonic ns; 0 while a read itself does the waiting."""

    def add(self, fd: int, handler: Handler) -> None:
        """Call `handler(mask)` when `fd` can be read."""
        self._handlers[fd] = handler
        self._epoll.register(fd, READ)

    def remove(self, fd: int) -> None:
        """Forget `fd`; call it before closing."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def writing(self, fd: int, wanted: bool) -> None:
        """Whether to wake up when `fd` can be written too."""
        self._epoll.modify(fd, READ | WRITE if wanted else READ)

    def wait(self, seconds: float) -> None:
        """Handle what is ready, after at most `seconds`.

        epoll's own time-out is rounded up to milliseconds; short waits go through select on the
        epoll itself, which counts microseconds.
        """
        timeout = 0.0
        if seconds >= COARSE_S:
            timeout = int(seconds * 1000) / 1000 - 1e-5
        elif seconds > 0:
            select.select((self._epoll,), (), (), seconds)
        handlers = self._handlers
        ready = self._epoll.poll(timeout)
        self.woke = time.monotonic_ns()
        for fd, mask in ready:
            if fd in handlers:  # an earlier handler of this batch may have removed it
                handlers[fd](mask)

    def close(self) -> None:
        """Close the epoll; the sockets are their owners'."""
        self._epoll.close()
