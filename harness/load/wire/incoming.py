"""What comes in on one HTTP/2 connection: bytes become frames, frames become answers. No I/O.

Three states: between frames, within a DATA frame (`_data_left`, which may be larger than the
buffer), and within a header block (`_block`), where nothing but its continuation may come.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from urllib.parse import unquote

from harness.load.wire import http2
from harness.load.wire.answer_layout import Usual
from harness.load.wire.control_frames import ControlFrames, Frame
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.outgoing import Outgoing
from harness.load.wire.poller import BUFFER
from harness.load.wire.streams import PREFIX, WHOLE, Slots, Streams
from harness.results.samples import ERROR, TIMEOUT

FRAME_WE_TAKE = 1 << 16
"""Largest frame the server may send: fits the buffer several times, and is few frames a MB."""
HEADERS_WE_TAKE = 1 << 20
LONGEST_LINE = 100
REFILL = 1 << 29
"""Return the connection's receive window in steps of this many bytes."""
MISSES = 100
_UNUSUAL = http2.PADDED | http2.PRIORITISED
_DEADLINE_EXCEEDED = "4"
_WINDOW = 4 << 8 | http2.WINDOW_UPDATE
_LENGTH = struct.Struct(">I").unpack_from
_FRAME = http2.FRAME.unpack_from
_clock = time.monotonic_ns


@dataclass(slots=True)
class Block:
    """A header block whose end has not come."""

    stream: int
    flags: int
    data: bytes


class Incoming:
    """Give it bytes: receive into `room()`, then `take` them."""

    def __init__(
        self, owner: Slots, streams: Streams, outgoing: Outgoing, control: ControlFrames
    ) -> None:
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._have = 0
        """Bytes in the buffer that belong to a frame whose end has not come."""
        self._owner, self._streams, self._outgoing = owner, streams, outgoing
        self._slots, self._answers = streams.slots, streams.answers
        self._uploads, self._control = outgoing.uploads, control
        self._used = 0
        self._decoder = http2.HeaderDecoder()
        self._block: Block | None = None
        self._data_left = 0
        self._data_stream = 0
        self._data_end = False
        self._usual: Usual | None = None
        self._misses = 0
        self._answer_at = -1
        """Where the headers of the latest answer begin in the buffer."""

    def room(self) -> bytearray | memoryview:
        """Where the next bytes go."""
        return self._view[self._have :] if self._have else self._buffer

    def take(self, count: int) -> None:
        """Handle the frames in the buffer, `count` bytes of which are new. Raises ProtocolError."""
        if count == 0:
            raise ProtocolError("the server closed the connection")
        now = _clock()
        end, at, self._answer_at = self._have + count, 0, -1
        if self._data_left:
            at = self._data(0, end, now)
        while end - at >= http2.HEAD:
            usual = self._usual
            if usual is not None and end - at >= usual.size and self._block is None:
                after = self._match(usual, at, now)
                if after:
                    at = after
                    continue
            after = self._frame(at, end, now)
            if after == at:
                break
            at = after
        if at < end:
            self._buffer[: end - at] = self._buffer[at:end]
        self._have = end - at

    def _match(self, usual: Usual, at: int, now: int) -> int:
        """Take one whole answer that looks like the last ones; where it ends, or 0."""
        start, stream, middle, again, prefix, end, third, trailers = usual.unpack(self._buffer, at)
        if (
            not stream == again == third or stream in self._answers or stream in self._uploads
            or (start, middle, prefix, end, trailers) != usual.fixed
        ):  # fmt: skip
            return 0
        self._used += usual.data
        if self._used > REFILL:
            self._refill()
        slot = self._slots.pop(stream, -1)
        if slot >= 0:
            owner = self._owner
            if owner.wanted[slot]:
                begin = at + usual.message
                owner.keep(slot, bytes(self._view[begin : begin + usual.data - PREFIX]))
            owner.done(slot, now)
        return at + usual.size

    def _frame(self, at: int, end: int, now: int) -> int:
        """Take the frame that begins at `at`; where it ends, or `at` where it is not all there."""
        word: int
        word, flags, stream = _FRAME(self._buffer, at)
        size, kind, stream = word >> 8, word & 0xFF, stream & http2.LAST_STREAM
        begin = at + http2.HEAD
        if kind == http2.DATA and not flags & http2.PADDED and self._block is None:
            self._data_stream, self._data_left = stream, size
            self._data_end = bool(flags & http2.END_STREAM)
            return self._data(begin, end, now)
        if size > FRAME_WE_TAKE:
            if self._buffer.startswith(b"HTTP/1.", at):  # in its first line: a proxy, say
                line = bytes(self._buffer[at : min(end, at + LONGEST_LINE)]).partition(b"\r\n")[0]
                raise ProtocolError(f"it says {line.decode('latin-1')}")
            raise ProtocolError(f"a frame of {size} bytes")
        after = begin + size
        if after > end:
            return at
        if word == _WINDOW and not stream and self._block is None and not self._uploads:
            self._outgoing.window += _LENGTH(self._buffer, begin)[0] & http2.LAST_STREAM
            return after
        payload = bytes(self._buffer[begin:after])
        whole = kind == http2.HEADERS and flags & http2.END_HEADERS and not flags & _UNUSUAL
        if whole and self._block is None:
            if flags & http2.END_STREAM and self._answer_at >= 0:
                self._learn(self._answer_at, after)
            self._answer_at = -1 if flags & http2.END_STREAM else at
            self._headers(stream, flags, payload, now)
        else:
            self._other(Frame(kind, flags, stream, payload, now))
        return after

    def _learn(self, at: int, end: int) -> None:
        """Remember what an answer looks like, unless that has been no use."""
        if self._misses < MISSES:
            self._misses += 1
            self._usual = Usual.of(bytes(self._buffer[at:end]), self._decoder)

    def _refill(self) -> None:
        self._outgoing.parts.append(http2.window_update(0, self._used))
        self._used = 0

    def _data(self, at: int, end: int, now: int) -> int:
        """The next piece of a DATA frame; where it ends."""
        size = min(self._data_left, end - at)
        self._data_left -= size
        stream = self._data_stream
        slot = self._slots.get(stream)
        if slot is not None and size:
            if (
                stream not in self._answers and size >= PREFIX and not self._owner.wanted[slot]
                and _LENGTH(self._buffer, at + 1)[0] == size - PREFIX and not self._buffer[at]
            ):  # fmt: skip
                self._answers[stream] = WHOLE
            else:
                self._streams.data(stream, self._view[at : at + size])
        self._used += size
        if self._used > REFILL:
            self._refill()
        if self._data_end and not self._data_left:
            self._data_end = False
            self._streams.fail(stream, "the stream ended without trailers", now)
        return at + size

    def _headers(self, stream: int, flags: int, block: bytes, now: int) -> None:
        changes = self._decoder.changes
        fields = self._decoder.decode(block)
        if self._decoder.changes != changes:
            self._usual = None
        if not flags & http2.END_STREAM:
            if fields.get(":status", "200")[0] not in "12":  # a proxy's own page comes behind it
                self._streams.fail(stream, _message(fields), now)
            return
        if fields.get("grpc-status") == "0":
            self._streams.answered(stream, now)
        else:
            status = TIMEOUT if fields.get("grpc-status") == _DEADLINE_EXCEEDED else ERROR
            self._streams.fail(stream, _message(fields), now, status)

    def _other(self, frame: Frame) -> None:
        """Header blocks in pieces, padding, and the control frames."""
        kind, flags, stream, payload, now = frame
        if self._block is not None and (
            kind != http2.CONTINUATION or stream != self._block.stream
        ):  # fmt: skip
            raise ProtocolError("a header block was interrupted")
        if kind == http2.HEADERS:
            self._block = Block(stream, flags, http2.strip(flags, kind, payload))
        elif kind == http2.CONTINUATION:
            if self._block is None:
                raise ProtocolError("a CONTINUATION of nothing")
            self._block.data += payload
            if len(self._block.data) > HEADERS_WE_TAKE:
                raise ProtocolError("headers without an end")
        elif kind == http2.DATA:
            data = http2.strip(flags, kind, payload)
            self._used += len(payload)  # padding counts against the windows, like data
            self._streams.data(stream, memoryview(data))
            if flags & http2.END_STREAM:
                self._streams.fail(stream, "the stream ended without trailers", now)
        else:
            self._control.take(frame)
        if self._block is not None and flags & http2.END_HEADERS:
            block, self._block = self._block, None
            self._headers(stream, block.flags, block.data, now)


def _message(fields: dict[str, str]) -> str:
    """gRPC's status and its percent-encoded message."""
    if "grpc-status" not in fields:
        return f"no gRPC status (HTTP {fields.get(':status', '?')})"
    return f"gRPC status {fields['grpc-status']}: {unquote(fields.get('grpc-message', ''))}"
