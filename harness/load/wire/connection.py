"""One HTTP/2 connection of a gRPC client: frames in both directions, flow control, its streams."""

from __future__ import annotations

import struct
import time
from collections import deque
from itertools import chain, islice, repeat
from typing import TYPE_CHECKING
from urllib.parse import unquote

from harness.errors import ServerDiedError
from harness.load.wire import http2
from harness.load.wire.answer_layout import Usual
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.poller import BUFFER, CONNECT_TIMEOUT_S, DONTWAIT, WRITE, connect
from harness.results.samples import ERROR, TIMEOUT

if TYPE_CHECKING:
    from harness.load.wire.grpc import WireGrpc

FRAME_WE_TAKE = 1 << 16
"""Largest frame the server may send: fits the buffer several times, and is few frames a MB."""
REFILL = 1 << 29
"""Return the connection's receive window in steps of this many bytes."""
LAST_STREAM = (1 << 31) - 1
VECTOR = 256
SMALL = 4096
"""Parts up to this size are cheaper joined than written as a vector."""
MISSES = 100
_DEADLINE_EXCEEDED = "4"
_WINDOW = 4 << 8 | http2.WINDOW_UPDATE
_LENGTH = struct.Struct(">I").unpack_from
_clock = time.monotonic_ns


class Connection:
    """Opens on creation (raises ServerDiedError) and tells its owner what becomes of each slot."""

    def __init__(self, owner: WireGrpc) -> None:
        self._owner = owner
        self.streams: dict[int, int] = {}
        """Stream to slot."""
        self.limit = 1 << 30
        self.unsent: deque[memoryview] = deque()
        self._out: list[bytes | memoryview] = []
        self._fresh: list[int] = []
        self._dirty = False
        self._bulky = False
        self._closed = False
        self._leaving = False
        self._next = 1
        # what the peer allows us
        self._window = http2.DEFAULT_WINDOW
        self._stream_window = http2.DEFAULT_WINDOW
        self._frame = http2.DEFAULT_FRAME
        self._table = http2.DEFAULT_TABLE
        self._small = http2.DEFAULT_FRAME
        self._indexed = False
        self._resize = False
        self._payloads, self._middles = owner.payloads, owner.middles
        self._begin = http2.FRAME.pack(
            len(owner.headers.again) << 8 | http2.HEADERS, http2.END_HEADERS, 0
        )[:5]
        self._backlog: dict[int, _Upload] = {}
        # what comes in
        self._buffer = bytearray(BUFFER)
        self._view = memoryview(self._buffer)
        self._have = 0
        self._used = 0
        self._decoder = http2.HeaderDecoder()
        self._headers_of = 0
        self._headers_flags = 0
        self._header_block = b""
        self._data_left = 0
        self._data_stream = 0
        self._data_end = False
        self._replies: dict[int, _Reply] = {}
        self._told = False
        self._usual: Usual | None = None
        self._misses = 0
        self._socket = connect(owner.address)
        self._receive = self._socket.recv_into
        self._write = self._socket.send
        self._greet()
        owner.poller.add(self._socket.fileno(), self.ready)

    def _greet(self) -> None:
        """Say what we take, and wait for the server's settings: they bound the first request."""
        ours = {
            http2.ENABLE_PUSH: 0, http2.INITIAL_WINDOW: http2.LARGEST_WINDOW,
            http2.MAX_FRAME: FRAME_WE_TAKE,
        }  # fmt: skip
        more = http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW
        deadline = time.monotonic() + CONNECT_TIMEOUT_S
        try:
            self._socket.sendall(
                http2.PREFACE + http2.settings(ours) + http2.window_update(0, more)
            )
            while not self._told:
                try:
                    self._take(self._receive(self._view[self._have :]))
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise TimeoutError("no SETTINGS frame") from None
        except (OSError, ProtocolError) as error:
            self._socket.close()
            raise ServerDiedError(
                f"the server at {self._owner.address} does not answer in HTTP/2: {error}"
            ) from error
        self.flush()

    def close(self) -> None:
        """Close the socket."""
        if not self._closed:
            self._closed = True
            self._owner.poller.remove(self._socket.fileno())
            self._socket.close()

    # ---------------------------------------------------------------------------------- sending

    def request(self, slot: int, index: int) -> None:
        """Open a stream for the slot and queue its message."""
        stream = self._next
        self._next = stream + 2
        self.streams[stream] = slot
        self._fresh.append(stream)
        if not self._dirty:
            self._mark()
        payload = self._payloads[index]
        size = len(payload)
        name = stream.to_bytes(4, "big")
        if self._indexed and size <= self._small and size <= self._window and not self._backlog:
            self._window -= size
            self._out.append(b"".join((self._begin, name, self._middles[index], name, payload)))
        else:
            self._long_request(stream, name, payload)
        if self._next > LAST_STREAM:
            self._leaving = True
            self._owner.retire(self)

    def _long_request(self, stream: int, name: bytes, payload: bytes) -> None:
        """Headers spelled out, or a message that does not fit the windows as they are."""
        block = self._owner.headers.again if self._indexed else self._first_block()
        self._out.append(b"%b\x01\x04%b%b" % (len(block).to_bytes(3, "big"), name, block))
        self._backlog[stream] = _Upload(memoryview(payload), self._stream_window)
        self._pump()

    def _first_block(self) -> bytes:
        """The block that fills the peer's table, if it has room, so that later ones are short."""
        headers = self._owner.headers
        resize, self._resize = b"", self._resize
        if self._resize:
            self._resize = False
            resize = http2.integer(min(self._table, http2.DEFAULT_TABLE), 5, 0x20)
        if not headers.fits(self._table):
            return resize + headers.plain
        self._indexed = True
        return resize + headers.first

    def _mark(self) -> None:
        if not self._dirty:
            self._dirty = True
            self._owner.dirty.append(self)

    def _say(self, data: bytes) -> None:
        self._out.append(data)
        self._mark()

    def _pump(self) -> None:
        """Frame as much of the waiting messages as both windows allow, first come first served."""
        for stream, upload in list(self._backlog.items()):
            while upload.left and upload.window > 0 and self._window > 0:
                whole = (min(len(upload.left) - 1, upload.window, self._window)) // self._frame
                if whole > 1:
                    self._whole_frames(stream, upload, whole)
                    continue
                size = min(len(upload.left), upload.window, self._window, self._frame)
                last = size == len(upload.left)
                flags = http2.END_STREAM if last else 0
                self._out.append(http2.FRAME.pack(size << 8 | http2.DATA, flags, stream))
                self._out.append(upload.left[:size])
                upload.left = upload.left[size:]
                upload.window -= size
                self._window -= size
                self._bulky = self._bulky or size > SMALL
            if not upload.left:
                del self._backlog[stream]
        self._mark()

    def _whole_frames(self, stream: int, upload: _Upload, count: int) -> None:
        """Frames of full size at once: one by one, a message of megabytes takes half a
        millisecond, between an answer and the next request.
        """
        frame = self._frame
        head = http2.FRAME.pack(frame << 8 | http2.DATA, 0, stream)
        size = count * frame
        parts = [upload.left[at : at + frame] for at in range(0, size, frame)]
        self._out.extend(chain.from_iterable(zip(repeat(head), parts, strict=False)))
        upload.left = upload.left[size:]
        upload.window -= size
        self._window -= size
        self._bulky = True

    def flush(self) -> None:
        """Hand everything queued to the kernel; the rest follows when it can be written."""
        self._dirty = False
        out = self._out
        if not out or self._closed:
            return
        if self._fresh:
            now, sent, streams = _clock(), self._owner.sent, self.streams
            for stream in self._fresh:
                slot = streams.get(stream, -1)  # -1: it has failed already
                if slot >= 0 and not sent[slot]:  # else it was refused, and goes out again
                    sent[slot] = now
            self._fresh.clear()
        if self.unsent or self._bulky:
            self.unsent.extend(memoryview(part) for part in out)
            out.clear()
            self._bulky = False
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

    def _send_rest(self) -> None:
        unsent = self.unsent
        try:
            while unsent:
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

    # -------------------------------------------------------------------------------- receiving

    def ready(self, mask: int) -> None:
        """Something can be read (or, in a blocking read, may come within the tick)."""
        if mask & WRITE:
            self._send_rest()
            if mask == WRITE or self._closed:
                return
        try:
            count = self._receive(self._view[self._have :] if self._have else self._buffer)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(f"connection lost: {error}")
            return
        self._dirty = True  # what this brings about is flushed below, in one write
        try:
            self._take(count)
        except ProtocolError as error:
            self._lost(str(error))
            return
        self.flush()
        if self._leaving and not self.streams and not self._closed:
            self._owner.drop(self)
        if self._owner.dirty:
            self._owner.flush()

    def _take(self, count: int) -> None:
        """Handle the frames in the buffer, `count` bytes of which are new."""
        if count == 0:
            raise ProtocolError("the server closed the connection")
        now = _clock()
        buffer, end, at, began = self._buffer, self._have + count, 0, -1
        unpack = http2.FRAME.unpack_from
        if self._data_left:
            at = self._data_more(0, end, now)
        while end - at >= 9 and not self._closed:
            usual = self._usual
            if usual is not None and end - at >= usual.size and not self._headers_of:
                after = self._match(usual, at, now)
                if after:
                    at = after
                    continue
            word, flags, stream = unpack(buffer, at)
            size, kind, stream = word >> 8, word & 0xFF, stream & LAST_STREAM
            at += 9
            if kind == http2.DATA and not flags & http2.PADDED and not self._headers_of:
                self._data_stream, self._data_left = stream, size
                self._data_end = bool(flags & http2.END_STREAM)
                at = self._data_more(at, end, now)
                continue
            if size > FRAME_WE_TAKE:
                raise ProtocolError(f"a frame of {size} bytes")
            if end - at < size:
                at -= 9
                break
            if kind == http2.HEADERS and flags & http2.END_HEADERS and not flags & 0x28:
                if self._headers_of:
                    raise ProtocolError("a header block was interrupted")
                if flags & http2.END_STREAM and began >= 0:
                    self._learn(began, at + size)
                began = -1 if flags & http2.END_STREAM else at - 9
                self._headers(stream, flags, bytes(buffer[at : at + size]), now)
            elif word == _WINDOW and not stream and not self._headers_of and not self._backlog:
                self._window += _LENGTH(buffer, at)[0] & LAST_STREAM
            else:
                self._frame_in(kind, flags, stream, bytes(buffer[at : at + size]), now)
            at += size
        if at < end:
            buffer[: end - at] = buffer[at:end]
        self._have = end - at

    def _match(self, usual: Usual, at: int, now: int) -> int:
        """Take one whole answer that looks like the last ones; where it ends, or 0."""
        start, stream, middle, again, prefix, end, third, trailers = usual.unpack(self._buffer, at)
        if (
            not stream == again == third or stream in self._replies or stream in self._backlog
            or (start, middle, prefix, end, trailers) != usual.fixed
        ):  # fmt: skip
            return 0
        self._used += usual.data
        if self._used > REFILL:
            self._refill()
        slot = self.streams.pop(stream, -1)
        if slot >= 0:
            owner = self._owner
            if owner.wanted[slot]:
                begin = at + usual.message
                owner.keep(slot, bytes(self._view[begin : begin + usual.data - 5]))
            owner.done(slot, now)
        return at + usual.size

    def _learn(self, at: int, end: int) -> None:
        """Remember what an answer looks like, unless that has been no use."""
        if self._misses < MISSES:
            self._misses += 1
            self._usual = Usual.of(bytes(self._buffer[at:end]), self._decoder)

    def _refill(self) -> None:
        self._say(http2.window_update(0, self._used))
        self._used = 0

    def _data_more(self, at: int, end: int, now: int) -> int:
        """The next piece of a DATA frame, which may be larger than the buffer."""
        size = min(self._data_left, end - at)
        self._data_left -= size
        stream = self._data_stream
        slot = self.streams.get(stream)
        if slot is not None and size:
            if (
                stream not in self._replies and size >= 5 and not self._owner.wanted[slot]
                and _LENGTH(self._buffer, at + 1)[0] == size - 5
            ):  # fmt: skip
                self._replies[stream] = WHOLE  # the usual case: one message in one frame
            else:
                self._reply(stream, slot).take(self._view[at : at + size])
        self._used += size
        if self._used > REFILL:
            self._refill()
        if self._data_end and not self._data_left:
            self._data_end = False
            self._over(stream, "the stream ended without trailers", ERROR, now)
        return at + size

    def _reply(self, stream: int, slot: int) -> _Reply:
        reply = self._replies.get(stream)
        if reply is None or reply is WHOLE:
            # more data after a whole message makes an answer whose size is wrong
            reply = self._replies[stream] = _Reply(self._owner.wanted[slot], reply is WHOLE)
        return reply

    def _headers(self, stream: int, flags: int, block: bytes, now: int) -> None:
        changes = self._decoder.changes
        fields = self._decoder.decode(block)
        if self._decoder.changes != changes:
            self._usual = None
        if not flags & http2.END_STREAM:
            return
        slot = self.streams.get(stream)
        if slot is None:
            return
        if fields.get("grpc-status") != "0":
            status = TIMEOUT if fields.get("grpc-status") == _DEADLINE_EXCEEDED else ERROR
            self._over(stream, _message(fields), status, now)
            return
        reply = self._replies.pop(stream, None)
        if reply is None or reply.size < 5 or reply.size != reply.expected:
            self._over(stream, "the answer is not one complete message", ERROR, now)
            return
        self._end(stream)
        owner = self._owner
        if reply.kept is not None:
            owner.keep(slot, bytes(reply.kept[5:]))
        owner.done(slot, now)

    def _end(self, stream: int) -> None:
        del self.streams[stream]
        if stream in self._backlog:  # answered before it was asked to the end
            del self._backlog[stream]
            self._say(http2.reset(stream, http2.CANCEL))

    def _over(self, stream: int, message: str, status: int, now: int) -> None:
        slot = self.streams.get(stream)
        self._replies.pop(stream, None)
        if slot is not None:
            self._end(stream)
            self._owner.failed(slot, now, status, message)

    def cancel(self, slot: int) -> None:
        """Reset the slot's stream; the slot is free."""
        stream = next((s for s, other in self.streams.items() if other == slot), None)
        if stream is None:
            return
        del self.streams[stream]
        self._backlog.pop(stream, None)
        self._replies.pop(stream, None)
        self._say(http2.reset(stream, http2.CANCEL))

    def _lost(self, message: str) -> None:
        """The connection is broken: its requests have failed. Raises ServerDiedError."""
        now = _clock()
        slots = list(self.streams.values())
        self.streams.clear()
        for slot in slots:
            self._owner.failed(slot, now, ERROR, message)
        self._owner.drop(self)

    # ----------------------------------------------------------------------------- other frames

    def _frame_in(self, kind: int, flags: int, stream: int, payload: bytes, now: int) -> None:
        if self._headers_of and (kind != http2.CONTINUATION or stream != self._headers_of):
            raise ProtocolError("a header block was interrupted")
        if kind == http2.HEADERS:
            self._headers_of, self._headers_flags = stream, flags
            self._header_block = http2.strip(flags, kind, payload)
            self._end_headers(flags, now)
        elif kind == http2.CONTINUATION:
            if not self._headers_of:
                raise ProtocolError("a CONTINUATION of nothing")
            self._header_block += payload
            self._end_headers(flags, now)
        elif kind == http2.DATA:
            self._padded(flags, stream, payload, now)
        elif kind == http2.SETTINGS:
            self._settings(flags, payload)
        elif kind == http2.PING:
            if not flags & http2.ACK:
                self._say(http2.frame(http2.PING, http2.ACK, 0, payload))
        elif kind == http2.WINDOW_UPDATE:
            self._more_window(stream, payload)
        elif kind == http2.RST_STREAM:
            self._reset(stream, _number(payload), now)
        elif kind == http2.GOAWAY:
            self._go_away(payload, now)
        elif kind == http2.PUSH_PROMISE:
            raise ProtocolError("the server pushes although it was told not to")

    def _end_headers(self, flags: int, now: int) -> None:
        if flags & http2.END_HEADERS:
            stream, self._headers_of = self._headers_of, 0
            self._headers(stream, self._headers_flags, self._header_block, now)

    def _padded(self, flags: int, stream: int, payload: bytes, now: int) -> None:
        """Padding counts against the windows, like data."""
        data = http2.strip(flags, http2.DATA, payload)
        self._used += len(payload) - len(data)
        slot = self.streams.get(stream)
        if slot is not None and data:
            self._reply(stream, slot).take(memoryview(data))
        self._used += len(data)
        if flags & http2.END_STREAM:
            self._over(stream, "the stream ended without trailers", ERROR, now)

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & http2.ACK:
            return
        if len(payload) % 6:
            raise ProtocolError("a SETTINGS frame of odd size")
        for key, value in struct.iter_unpack(">HI", payload):
            self._setting(key, value)
        self._small = min(self._frame, self._stream_window)
        self._told = True
        self._say(http2.frame(http2.SETTINGS, http2.ACK, 0))
        if self._backlog:
            self._pump()

    def _setting(self, key: int, value: int) -> None:
        if key == http2.INITIAL_WINDOW:
            for upload in self._backlog.values():
                upload.window += value - self._stream_window
            self._stream_window = value
        elif key == http2.MAX_FRAME:
            self._frame = value
        elif key == http2.MAX_STREAMS:
            self.limit = max(1, value)
        elif key == http2.TABLE_SIZE and value != self._table:
            if value < self._table:  # our entries may be gone; a larger table changes nothing
                self._indexed, self._resize = False, True
            self._table = value

    def _more_window(self, stream: int, payload: bytes) -> None:
        increment = _number(payload)
        if stream == 0:
            self._window += increment
        elif stream in self._backlog:
            self._backlog[stream].window += increment
        if self._backlog:
            self._pump()

    def _reset(self, stream: int, code: int, now: int) -> None:
        """A refused stream has not been processed (RFC 9113 section 8.7): it is sent again."""
        slot = self.streams.get(stream)
        if slot is not None and code == http2.REFUSED_STREAM and self._owner.may_retry(slot):
            del self.streams[stream]
            self._backlog.pop(stream, None)
            self._owner.retry(slot)
            return
        words = f"the server reset the stream: {http2.error_name(code)}"
        self._over(stream, words, ERROR, now)

    def _go_away(self, payload: bytes, now: int) -> None:
        """Streams past the last one that the server takes are lost; the others are awaited."""
        if len(payload) < 8:
            raise ProtocolError("a short GOAWAY frame")
        last, code = struct.unpack_from(">II", payload)
        why = payload[8:200].decode("utf-8", "replace")
        message = f"the server goes away: {http2.error_name(code)} {why}".rstrip()
        self._leaving = True
        self._owner.retire(self)
        for stream in [s for s in self.streams if s > last & LAST_STREAM]:
            self._over(stream, message, ERROR, now)


class _Upload:
    """What is left of a message that did not fit the windows, and its stream's window."""

    __slots__ = ("left", "window")

    def __init__(self, left: memoryview, window: int) -> None:
        self.left = left
        self.window = window


class _Reply:
    """How much of an answer has come; the bytes too where they are to be kept."""

    __slots__ = ("expected", "kept", "prefix", "size")

    def __init__(self, keep: bool, spoilt: bool = False) -> None:
        self.size = 0
        self.expected = 0 if spoilt else -1
        self.prefix = b""
        self.kept: bytearray | None = bytearray() if keep else None

    def take(self, data: memoryview) -> None:
        self.size += len(data)
        if self.expected < 0:
            self.prefix += data[:5]
            if len(self.prefix) >= 5:
                self.expected = 5 + _number(self.prefix[1:5])
        if self.kept is not None:
            self.kept += data


WHOLE = _Reply(False)
WHOLE.size = WHOLE.expected = 5


def _number(payload: bytes) -> int:
    if len(payload) < 4:
        raise ProtocolError("a short frame")
    return int.from_bytes(payload[:4], "big") & LAST_STREAM


def _message(fields: dict[str, str]) -> str:
    """gRPC's status and its percent-encoded message."""
    if "grpc-status" not in fields:
        return f"no gRPC status (HTTP {fields.get(':status', '?')})"
    return f"gRPC status {fields['grpc-status']}: {unquote(fields.get('grpc-message', ''))}"
