"""A Locust user's connection to Triton: the codec of `harness.load.wire` over gevent's waiting.

What is sent, how an answer is read and when the clock is looked at is what the harness's own
generator does, so that a request shows the same time through both. Only who waits differs: there a
loop, here a greenlet. No gRPC library makes load, whose threads would answer gevent by way of
another one's queue.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import gevent

from harness.errors import ServerDiedError
from harness.load.wire.connection import GREETING
from harness.load.wire.control_frames import ControlFrames
from harness.load.wire.grpc import framed, request_headers
from harness.load.wire.http1 import ProtocolError, Response
from harness.load.wire.incoming import Incoming
from harness.load.wire.outgoing import Outgoing
from harness.load.wire.plan import Plan
from harness.load.wire.poller import BUFFER
from harness.load.wire.streams import Streams
from harness.load.wire.tls import Stream, open_stream
from harness.models.tensors import Tensors
from harness.results.samples import OK, TIMEOUT
from harness.swarm.alarm import until

READ, WRITE = 1, 2
"""libev's names of what is waited for."""
LATE = "no answer in time"
_clock = time.monotonic_ns


class AnsweredError(Exception):
    """The server answered with an error; the connection is as good as before."""


class Link(ABC):
    """One connection, of one greenlet at a time. It opens with its first request, and anew where
    it was lost meanwhile.
    """

    alpn: str
    """What TLS calls the protocol."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stream: Stream | None = None
        self._watchers: dict[int, Any] = {}
        self.sent = 0
        """When the last request's first byte was handed to the kernel, or a connection was asked
        for that it needed, monotonic ns: a server that is slow to greet is not a slow client.
        """

    def ask(self, request: int, wanted: bool = False, due: int = 0) -> tuple[int, bytes]:
        """Send that one, not before `due` (monotonic ns): when its answer was read, and the answer
        where `wanted`.

        Raises AnsweredError; TimeoutError, OSError, ServerDiedError or ProtocolError, after which
        the next request has a new connection.
        """
        self.sent = 0
        try:
            with gevent.Timeout(self._plan.request_timeout, TimeoutError(LATE)):
                alive = self._stream is not None and self._alive()
                until(due)
                if not alive:
                    self.close()
                    self.sent = _clock()
                    self._open()
                return self._exchange(request, wanted)
        except AnsweredError:
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the socket, if there is one."""
        for watcher in self._watchers.values():
            watcher.close()
        self._watchers.clear()
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _open(self) -> None:
        self._stream = stream = open_stream(self._plan.address, self._plan.access.tls, self.alpn)
        if hasattr(stream, "setblocking"):  # a TLS stream never blocks
            stream.setblocking(False)
        loop = gevent.get_hub().loop
        self._watchers = {event: loop.io(stream.fileno(), event) for event in (READ, WRITE)}

    @abstractmethod
    def _alive(self) -> bool:
        """Whether an idle connection can be used again."""

    @abstractmethod
    def _exchange(self, request: int, wanted: bool) -> tuple[int, bytes]:
        """As `ask`, on a connection that is open."""

    def _read(self, room: bytearray | memoryview, wait: bool = True) -> int:
        """Bytes that came; raises BlockingIOError where there are none and we don't `wait`."""
        assert self._stream is not None
        while True:
            try:
                return self._stream.recv_into(room)
            except BlockingIOError:
                if not wait:
                    raise
                gevent.get_hub().wait(self._watchers[READ])

    def _write(self, data: bytes) -> None:
        """All of it, however long that takes."""
        assert self._stream is not None
        view = memoryview(data)
        while view:
            try:
                view = view[self._stream.send(view) :]
            except BlockingIOError:
                gevent.get_hub().wait(self._watchers[WRITE])


class HttpLink(Link):
    """HTTP/1.1, kept alive."""

    alpn = "http/1.1"
    _buffer = bytearray(BUFFER)
    """Of all connections: nobody waits between filling and reading it."""
    _view = memoryview(_buffer)
    _head, _total = b"", -1
    """The head of the last whole answer, and its size with the body: what usually comes again."""

    def _alive(self) -> bool:
        try:
            self._read(self._buffer, wait=False)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False  # its end, or bytes that nobody asked for

    def _exchange(self, request: int, wanted: bool) -> tuple[int, bytes]:
        now = _clock()
        self.sent = self.sent or now
        self._write(self._plan.requests[request])
        response = Response(wanted)
        while not response.complete:
            count = self._read(self._buffer)
            now = _clock()
            if count == self._total and not wanted and self._buffer.startswith(self._head):
                return now, b""  # whole, as the last one
            if count:
                response.feed(self._view[:count])
            else:
                response.end()
        head = response.head
        assert head is not None
        if head.close or response.rest or (head.length is None and not head.chunked):
            self.close()
        elif head.status == 200 and head.length is not None:
            self._head, self._total = response.raw_head, len(response.raw_head) + head.length
        if head.status != 200:
            raise AnsweredError(response.message())
        return now, response.raw_head + bytes(response.body) if wanted else b""


class _Slot:
    """The one stream of a gRPC connection, as `harness.load.wire.streams` sees its owner."""

    def __init__(self) -> None:
        self.wanted = [False]
        self.done: Callable[[int, int], None] = self._done
        self.failed: Callable[[int, int, int, str], None] = self._failed
        self.keep: Callable[[int, bytes | Tensors], None] = self._keep
        self.over = False
        self.now, self.status, self.message = 0, OK, ""
        self.raw = b""

    def begin(self, wanted: bool) -> None:
        self.wanted[0], self.over, self.status, self.raw = wanted, False, OK, b""

    def _done(self, _: int, now: int) -> None:
        self.over, self.now = True, now

    def _failed(self, _: int, now: int, status: int, message: str) -> None:
        self.over, self.now, self.status, self.message = True, now, status, message

    def _keep(self, _: int, response: bytes | Tensors) -> None:
        assert isinstance(response, bytes)
        self.raw = response

    def may_retry(self, _: int) -> bool:
        """A stream alone on its connection is not refused for want of room."""
        return False

    def retry(self, _: int) -> None:
        """Never asked for."""
        raise NotImplementedError


class GrpcLink(Link):
    """HTTP/2 with one stream at a time."""

    alpn = "h2"

    def __init__(self, plan: Plan) -> None:
        super().__init__(plan)
        scheme = b"http" if plan.access.tls is None else b"https"
        self._headers = request_headers(plan.address, plan.access.metadata, scheme)
        self._payloads, self._middles = framed(self._headers, plan.requests)

    def _open(self) -> None:
        self._slot = _Slot()
        self._outgoing = Outgoing(self._headers, self._payloads, self._middles)
        self._streams = Streams(self._slot, self._outgoing)
        self._control = ControlFrames(self._streams, self._outgoing, self._leave)
        self._incoming = Incoming(self._slot, self._streams, self._outgoing, self._control)
        self._next, self._leaving = 1, False
        super()._open()
        self._write(GREETING)
        while not self._control.settled:
            self._take()
        self._flush()

    def _leave(self) -> None:
        self._leaving = True

    def _take(self, wait: bool = True) -> None:
        self._incoming.take(self._read(self._incoming.room(), wait))

    def _flush(self) -> None:
        parts = self._outgoing.parts
        if parts:
            data = b"".join(parts)
            parts.clear()
            self._write(data)

    def _alive(self) -> bool:
        try:
            while not self._leaving:
                self._take(wait=False)
        except BlockingIOError:
            self._flush()
            return True
        except (OSError, ProtocolError):
            return False
        return False

    def _exchange(self, request: int, wanted: bool) -> tuple[int, bytes]:
        slot, stream = self._slot, self._next
        slot.begin(wanted)
        self._next += 2
        self._streams.slots[stream] = 0
        self._outgoing.request(stream, request)
        self.sent = self.sent or _clock()
        self._flush()
        while not slot.over:
            self._take()
            self._flush()
        if self._leaving or stream in self._outgoing.uploads:
            self.close()
        if slot.status == TIMEOUT:
            raise TimeoutError(LATE)
        if slot.status != OK:
            raise AnsweredError(slot.message)
        return slot.now, slot.raw


LINKS: dict[str, type[Link]] = {"http": HttpLink, "grpc": GrpcLink}
"""By protocol."""
BROKEN = (OSError, ServerDiedError, ProtocolError)
"""What `Link.ask` raises of a connection that is lost."""
