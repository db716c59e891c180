"""One HTTP/2 connection of a gRPC client: the socket, between what leaves and what comes in."""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from enum import Enum, auto
from itertools import islice
from typing import Protocol

from harness.errors import ServerDiedError
from harness.load.wire import http2
from harness.load.wire.control_frames import ControlFrames
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.incoming import FRAME_WE_TAKE, Incoming
from harness.load.wire.outgoing import Outgoing
from harness.load.wire.poller import BURST, DONTWAIT, TICK_S, WRITE, Poller
from harness.load.wire.sockets import CONNECT_TIMEOUT_S
from harness.load.wire.streams import Slots, Streams
from harness.load.wire.tls import open_stream
from harness.system.network import Tls

VECTOR = 1024
"""Pieces that one call hands to the kernel, which takes no more."""
GREETING = (
    http2.PREFACE
    + http2.settings({
        http2.ENABLE_PUSH: 0, http2.INITIAL_WINDOW: http2.LARGEST_WINDOW,
        http2.MAX_FRAME: FRAME_WE_TAKE,
    })
    + http2.window_update(0, http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW)
)  # fmt: skip
"""What a client says first: what we take."""
_clock = time.monotonic_ns


class Life(Enum):
    """Where a connection is in its life; it goes one way."""

    OPEN = auto()
    LEAVING = auto()
    """New requests go elsewhere; it is dropped when its last stream has ended."""
    CLOSED = auto()


class Owner(Slots, Protocol):
    """The transport, as a connection sees it."""

    address: str
    tls: Tls | None
    headers: http2.RequestHeaders
    payloads: list[bytes]
    middles: list[bytes]
    poller: Poller
    sent: list[int]
    written: list[int]
    dirty: list[Connection]
    """Connections with something to say; `flush` lets them."""

    def flush(self) -> None:
        """Write what the dirty connections have to say."""
        ...

    def retire(self, connection: Connection) -> None:
        """Give this connection no new requests."""
        ...

    def drop(self, connection: Connection) -> None:
        """Close this connection and forget it."""
        ...


class Connection:
    """Opens on creation (raises ServerDiedError) and tells its owner what becomes of each slot."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self.outgoing = Outgoing(owner.headers, owner.payloads, owner.middles)
        self._streams = Streams(owner, self.outgoing)
        self.streams = self._streams.slots
        control = ControlFrames(self._streams, self.outgoing, self._leave)
        self._incoming = Incoming(owner, self._streams, self.outgoing, control)
        self.unsent: deque[memoryview] = deque()
        self._fresh: list[int] = []
        """Streams whose requests the kernel has not been given."""
        self._dirty = False
        self._life = Life.OPEN
        self._next = 1
        self._socket = open_stream(owner.address, owner.tls, "h2")
        self._receive = self._socket.recv_into
        self._write = self._socket.send
        self._greet(control)
        owner.poller.add(self._socket.fileno(), self.ready)

    def _greet(self, control: ControlFrames) -> None:
        """Say what we take, and wait for the server's settings: they bound the first request."""
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            self._write(GREETING)
            while not control.settled:
                if time.monotonic() > deadline:
                    raise TimeoutError("no SETTINGS frame")
                with contextlib.suppress(BlockingIOError):
                    select.select([self._socket], (), (), TICK_S)
                    self._incoming.take(self._receive(self._incoming.room()))
        except (OSError, ProtocolError) as error:
            self._socket.close()
            raise ServerDiedError(
                f"the server at {self._owner.address} does not answer in HTTP/2: {error}"
            ) from error
        self.flush()

    def close(self) -> None:
        """Close the socket."""
        if self._life is not Life.CLOSED:
            self._life = Life.CLOSED
            self._owner.poller.remove(self._socket.fileno())
            self._socket.close()

    def request(self, slot: int, index: int) -> None:
        """Open a stream for the slot and queue its message."""
        stream = self._next
        self._next = stream + 2
        self.streams[stream] = slot
        self._fresh.append(stream)
        self._mark()
        if not self._owner.middles[index]:
            self._owner.sent[slot] = _clock()  # cutting a large message into frames takes a while
        self.outgoing.request(stream, index)
        if stream + 2 > http2.LAST_STREAM:
            self._leave()

    def cancel(self, slot: int) -> None:
        """Reset the slot's stream; the slot is free."""
        if self._streams.cancel(slot):
            self._mark()

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._owner.dirty.append(self)

    def flush(self) -> None:
        """Hand everything queued to the kernel; the rest follows when it can be written."""
        self._dirty = False
        outgoing = self.outgoing
        out = outgoing.parts
        if not out or self._life is Life.CLOSED:
            return
        if not self._fresh:
            self._give(out)
            return
        self._note(self._owner.sent)
        self._give(out)
        self._note(self._owner.written)
        self._fresh.clear()

    def _give(self, out: list[bytes | memoryview]) -> None:
        """Hand what is queued to the kernel, as much as it takes at once."""
        if self.unsent or self.outgoing.bulky:
            self.unsent.extend(memoryview(part) for part in out)
            out.clear()
            self.outgoing.bulky = False
            self._send_rest()
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        try:
            count = self._write(data, DONTWAIT)
        except BlockingIOError:
            count = 0
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        if count < len(data):
            self.unsent.append(memoryview(data)[count:])
            self._owner.poller.writing(self._socket.fileno(), True)

    def _note(self, moments: list[int]) -> None:
        """Write down now for the fresh streams, where nothing is yet."""
        now, streams = _clock(), self.streams
        for stream in self._fresh:
            slot = streams.get(stream, -1)  # -1: it has failed already
            if slot >= 0 and not moments[slot]:  # else it was refused, and goes out again
                moments[slot] = now

    def _send_rest(self) -> None:
        unsent = self.unsent
        try:
            for _ in range(BURST):
                if not unsent:
                    break
                count = self._socket.sendmsg(list(islice(unsent, VECTOR)), (), DONTWAIT)
                while unsent and count >= len(unsent[0]):
                    count -= len(unsent.popleft())
                if count:
                    unsent[0] = unsent[0][count:]
        except BlockingIOError:
            pass
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        self._owner.poller.writing(self._socket.fileno(), bool(unsent))

    def ready(self, mask: int) -> None:
        """Something can be read (or, in a blocking read, may come within the tick)."""
        if mask & WRITE:
            self._send_rest()
            if mask == WRITE or self._life is Life.CLOSED:
                return
        try:
            count = self._receive(self._incoming.room())
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        self._dirty = True  # what this brings about is flushed below, in one write
        try:
            self._incoming.take(count)
        except ProtocolError as error:
            self._lost(str(error))
            return
        self.flush()
        if self._life is Life.LEAVING and not self.streams:
            self._owner.drop(self)
        if self._owner.dirty:
            self._owner.flush()

    def _leave(self) -> None:
        self._life = Life.LEAVING
        self._owner.retire(self)

    def _lost(self, message: str) -> None:
        """The connection is broken: its requests have failed. Raises ServerDiedError."""
        self._streams.lose(message, _clock())
        self._owner.drop(self)
