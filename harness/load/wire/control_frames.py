"""What the peer's other frames ask for: all but HEADERS, CONTINUATION and DATA. No I/O."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.outgoing import Outgoing
from harness.load.wire.streams import Streams

REASON = 192
"""Bytes of a GOAWAY frame's own words that go into the message."""

FLOOD = 20_000
"""Control frames in a second that no server needs; each asks for an answer of ours."""


class Frame(NamedTuple):
    """A frame that has come, whole; `now` is when its last bytes were read, monotonic ns."""

    kind: int
    flags: int
    stream: int
    payload: bytes
    now: int


class ControlFrames:
    """A handler for each kind of frame; a kind without one is ignored (RFC 9113 section 4.1).

    `leave` is called when the peer wants no new streams on this connection.
    """

    def __init__(self, streams: Streams, outgoing: Outgoing, leave: Callable[[], None]) -> None:
        self.settled = False
        """Whether the peer's first settings have come."""
        self._second = self._taken = 0
        self._streams, self._outgoing, self._leave = streams, outgoing, leave
        self._handlers: dict[int, Callable[[Frame], None]] = {
            http2.SETTINGS: self._settings, http2.PING: self._ping,
            http2.WINDOW_UPDATE: self._window_update, http2.RST_STREAM: self._reset,
            http2.GOAWAY: self._go_away, http2.PUSH_PROMISE: self._push,
        }  # fmt: skip

    def take(self, frame: Frame) -> None:
        """Do what the frame asks for. Raises ProtocolError."""
        if frame.now > self._second + 1_000_000_000:
            self._second, self._taken = frame.now, 0
        self._taken += 1
        if self._taken > FLOOD:
            raise ProtocolError(f"a flood: more than {FLOOD} control frames in a second")
        handler = self._handlers.get(frame.kind)
        if handler is not None:
            handler(frame)

    def _settings(self, frame: Frame) -> None:
        if frame.flags & http2.ACK:
            return
        if len(frame.payload) % 6:
            raise ProtocolError("a SETTINGS frame of odd size")
        values = list(struct.iter_unpack(">HI", frame.payload))
        for key, value in values:
            least, most = http2.ALLOWED.get(key, (0, value))
            if not least <= value <= most:
                raise ProtocolError(f"a SETTINGS frame with {key} = {value}")
        self._outgoing.allow(values)
        self.settled = True

    def _ping(self, frame: Frame) -> None:
        if not frame.flags & http2.ACK:
            self._outgoing.parts.append(http2.frame(http2.PING, http2.ACK, 0, frame.payload))

    def _window_update(self, frame: Frame) -> None:
        self._outgoing.widen(frame.stream, _number(frame.payload))

    def _reset(self, frame: Frame) -> None:
        """A refused stream has not been processed (RFC 9113 section 8.7): it is sent again."""
        code = _number(frame.payload)
        if code != http2.REFUSED_STREAM or not self._streams.refused(frame.stream):
            words = f"the server reset the stream: {http2.error_name(code)}"
            self._streams.fail(frame.stream, words, frame.now)

    def _go_away(self, frame: Frame) -> None:
        """Streams past the last one that the server takes are lost; the others are awaited."""
        if len(frame.payload) < 8:
            raise ProtocolError("a short GOAWAY frame")
        last, code = struct.unpack_from(">II", frame.payload)
        why = frame.payload[8 : 8 + REASON].decode("utf-8", "replace")
        message = f"the server goes away: {http2.error_name(code)} {why}".rstrip()
        self._leave()
        for stream in [s for s in self._streams.slots if s > last & http2.LAST_STREAM]:
            self._streams.fail(stream, message, frame.now)

    def _push(self, _: Frame) -> None:
        raise ProtocolError("the server pushes although it was told not to")


def _number(payload: bytes) -> int:
    if len(payload) < 4:
        raise ProtocolError("a short frame")
    return int.from_bytes(payload[:4], "big") & http2.LAST_STREAM
