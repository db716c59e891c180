"""HTTP/1.1 over raw keep-alive sockets: one connection a slot, requests prepared as bytes."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from harness.load.wire.http1 import ProtocolError, Response
from harness.load.wire.poller import BUFFER, BURST, DONTWAIT, TICK_S, WRITE, Poller
from harness.load.wire.sockets import connect, connect_at_once, told
from harness.load.wire.tls import Stream, open_stream
from harness.load.wire.transport import Transport
from harness.results.samples import ERROR
from harness.system.network import Tls

_clock = time.monotonic_ns


class WireHttp(Transport):
    """A `Transport` of `slots` connections; `requests` are whole requests, headers and body."""

    def __init__(
        self, address: str, requests: Sequence[bytes], slots: int, tls: Tls | None = None
    ) -> None:
        super().__init__(requests, slots)
        self.address = address
        self.requests = list(requests)
        self.buffer = bytearray(BUFFER)
        self.view = memoryview(self.buffer)
        self.head = b""
        """The last complete 200 response's head, and its total size: what usually comes again."""
        self.total = -1
        self.poller: Poller = Poller()
        self._connections: list[_Connection] = []
        self._slots = slots
        self.tls = tls
        self._waits_in_read = slots == 1 and tls is None

    def open(self) -> None:
        """See that the server takes a connection; with TLS, connect every slot. Raises
        ServerDiedError.
        """
        if self.tls is None:
            with connect(self.address) as tried, told(self.address):
                self._peer = tried.family, tried.getpeername()
        else:
            self._take(open_stream(self.address, self.tls) for _ in range(self._slots))

    def connect(self) -> None:
        """Without TLS, connect every slot at once.

        Triton's HTTP threads wait for connections together, and the first to wake up takes the
        next: one after the other they all end in one thread, which then reads and writes every
        request, whether the server is idle meanwhile or one thread of it is at work. Those that
        come at once meet all threads awake.
        """
        if self.tls is None:
            self._take(connect_at_once(*self._peer, self._slots))

    def _take(self, made: Iterable[Stream]) -> None:
        for slot, stream in enumerate(made):
            self._connections.append(_Connection(self, slot, stream))

    def send(self, slot: int, request: int) -> None:
        """Write the request; what the kernel does not take now follows when it can."""
        self._connections[slot].send(self.requests[request])

    def poll(self, seconds: float) -> None:
        """Wait for responses; with a single connection, in the read itself."""
        if self._waits_in_read and seconds >= TICK_S and self._connections[0].unsent is None:
            self.poller.woke = 0
            self._connections[0].ready(0)
        else:
            self.poller.wait(seconds)

    def abandon(self, slot: int) -> None:
        """Replace the connection: its late answer must not be taken for the next one."""
        self._connections[slot].replace()

    def close(self) -> None:
        """Close every connection."""
        for connection in self._connections:
            connection.close()
        self.poller.close()


class _Connection:
    """One socket with at most one request in flight."""

    def __init__(self, owner: WireHttp, slot: int, made: Stream) -> None:
        self._owner = owner
        self._slot = slot
        self._connect(made)

    def _connect(self, made: Stream) -> None:
        self._busy = False
        self.unsent: memoryview | None = None
        self._response: Response | None = None
        self._socket = made
        self._receive = self._socket.recv_into
        self._write = self._socket.send
        self._owner.poller.add(self._socket.fileno(), self.ready)

    def close(self) -> None:
        self._owner.poller.remove(self._socket.fileno())
        self._socket.close()

    def replace(self) -> None:
        self.close()
        self._connect(open_stream(self._owner.address, self._owner.tls))

    def send(self, request: bytes) -> None:
        self._busy = True
        self._owner.sent[self._slot] = _clock()
        try:
            count = self._write(request, DONTWAIT)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        self._owner.written[self._slot] = _clock()
        if count < len(request):
            self.unsent = memoryview(request)[count:]
            self._owner.poller.writing(self._socket.fileno(), True)

    def _send_rest(self) -> None:
        if self.unsent is None:
            return
        try:
            for _ in range(BURST):
                self.unsent = self.unsent[self._write(self.unsent, DONTWAIT) :]
                if not self.unsent:
                    break
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        if not self.unsent:
            self.unsent = None
            self._owner.poller.writing(self._socket.fileno(), False)

    def ready(self, mask: int) -> None:
        """Something can be read (or, in a blocking read, may come within the tick)."""
        if mask & WRITE:
            self._send_rest()
            if mask == WRITE or not self._busy:  # not busy: the connection is a new one
                return
        owner = self._owner
        try:
            count = self._receive(owner.buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        now = _clock()
        usual = (
            count == owner.total and self._response is None and owner.buffer.startswith(owner.head)
        )
        if not usual or not self._busy or self.unsent is not None:
            self._read(count, now)
            return
        if owner.wanted[self._slot]:
            owner.keep(self._slot, bytes(owner.view[:count]))
        self._busy = False
        owner.done(self._slot, now)

    def _read(self, count: int, now: int) -> None:
        """The general case: pieces, errors, other sizes, the end of the connection."""
        if not self._busy:
            self.replace()
            return
        response = self._response
        if response is None:
            response = self._response = Response(self._owner.wanted[self._slot])
        try:
            if count:
                response.feed(self._owner.view[:count])
            else:
                response.end()
        except ProtocolError as error:
            self._lost(str(error))
            return
        if response.complete:
            self._finish(response, count, now)

    def _finish(self, response: Response, count: int, now: int) -> None:
        owner, slot, head = self._owner, self._slot, response.head
        assert head is not None
        self._response, self._busy = None, False
        if head.close or response.rest or (head.length is None and not head.chunked) or self.unsent:
            self.replace()
        elif head.status == 200 and head.length is not None:
            owner.head, owner.total = response.raw_head, len(response.raw_head) + head.length
        if head.status != 200:
            owner.failed(slot, now, ERROR, response.message())
            return
        if owner.wanted[slot] and response.keep:
            owner.keep(slot, response.raw_head + bytes(response.body))
        owner.done(slot, now)

    def _lost(self, message: str) -> None:
        """Replace the connection; a request on it has failed. Raises ServerDiedError."""
        if self._busy:
            self._owner.failed(self._slot, _clock(), ERROR, message)
        self.replace()
