"""The null server's side of one connection: whole requests are found, prepared answers queued."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError

Put = Callable[[Callable[[], None]], None]
_ANSWER_FRAME = http2.DEFAULT_FRAME
_TAKEN = 1 << 20


@dataclass(frozen=True, slots=True)
class Answer:
    """What every request is answered with: an HTTP body or a gRPC message."""

    body: bytes
    json_bytes: int | None = None
    """HTTP: how many of the body's bytes are JSON, with tensors in binary behind them."""


class HttpPeer:
    """HTTP/1.1 requests, with a Content-Length or without a body."""

    def __init__(self, put: Put, answer: Answer) -> None:
        self.out: list[bytes] = []
        self._put = put
        self._data = bytearray()
        self._skip = 0
        self._response = http_response(answer.body, answer.json_bytes)

    def feed(self, data: memoryview) -> None:
        """Bytes from the client. Raises ProtocolError for a body without a length."""
        if self._skip > len(data):
            self._skip -= len(data)
            return
        if self._skip:
            data = data[self._skip :]
            self._skip = 0
            self._put(self._answer)
        self._data += data
        while self._data and not self._skip:
            if not self._request():
                return

    def _request(self) -> bool:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return False
        whole = end + 4 + _length(bytes(self._data[:end]))
        if len(self._data) >= whole:
            del self._data[:whole]
            self._put(self._answer)
        else:
            self._skip = whole - len(self._data)
            self._data.clear()
        return True

    def _answer(self) -> None:
        self.out.append(self._response)


def _length(head: bytes) -> int:
    """Bytes of the body. Raises ProtocolError where only its end would tell."""
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        return int(lower[at + 17 :].split(b"\r\n", 1)[0])
    if not lower.startswith((b"get ", b"head ")):
        raise ProtocolError("a request without Content-Length")
    return 0


def http_response(body: bytes, json_bytes: int | None = None) -> bytes:
    """A whole response."""
    kind = "application/json" if body.startswith(b"{") and json_bytes is None else (
        "application/octet-stream"
    )  # fmt: skip
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
    if json_bytes is not None:
        head += f"Inference-Header-Content-Length: {json_bytes}\r\n"
    return head.encode() + b"\r\n" + body


class GrpcPeer:
    """HTTP/2 streams, each with one message; answers wait for room in the client's windows."""

    def __init__(self, put: Put, answer: Answer) -> None:
        self._put = put
        self._data = bytearray()
        self._greeted = False
        self._used = 0
        self._skip = 0
        self._whole = (0, 0, 0)
        """The DATA frame whose bytes are skipped: flags, stream, size."""
        self._payload = grpc_message(answer.body)
        self._room = self._initial = http2.DEFAULT_WINDOW
        self._streams: dict[int, int] = {}
        """Stream → what the client added to its window."""
        self._waiting: list[tuple[int, bytes]] = []
        ours = {http2.INITIAL_WINDOW: http2.LARGEST_WINDOW, http2.MAX_FRAME: _TAKEN}
        more = http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW
        self.out = [http2.settings(ours), http2.window_update(0, more)]
        self._head = http2.literal(b":status", b"200")
        self._head += http2.literal(b"content-type", b"application/grpc")
        self._trailers = http2.literal(b"grpc-status", b"0")

    def feed(self, data: memoryview) -> None:
        """Bytes from the client. Raises ProtocolError for anything but HTTP/2."""
        if self._skip > len(data):
            self._skip -= len(data)
            return
        if self._skip:
            data = data[self._skip :]
            self._skip = 0
            self._received(*self._whole)
        self._data += data
        at = 0
        if not self._greeted:
            if len(self._data) < len(http2.PREFACE):
                return
            if not self._data.startswith(http2.PREFACE):
                raise ProtocolError("not HTTP/2")
            self._greeted, at = True, len(http2.PREFACE)
        while len(self._data) - at >= 9:
            word, flags, stream = http2.FRAME.unpack_from(self._data, at)
            size = word >> 8
            missing = size - (len(self._data) - at - 9)
            if word & 0xFF == http2.DATA:  # its bytes are not looked at, so they are not kept
                if missing > 0:
                    self._skip, self._whole = missing, (flags, stream, size)
                    self._data.clear()
                    return
                self._received(flags, stream, size)
            elif missing > 0:
                break
            else:
                self._frame(word & 0xFF, flags, stream, self._data[at + 9 : at + 9 + size])
            at += 9 + size
        del self._data[:at]

    def _received(self, flags: int, stream: int, size: int) -> None:
        """A whole DATA frame has come."""
        self._used += size
        if self._used > http2.LARGEST_WINDOW // 4:
            self.out.append(http2.window_update(0, self._used))
            self._used = 0
        if flags & http2.END_STREAM:
            self._request(stream)

    def _frame(self, kind: int, flags: int, stream: int, payload: bytearray) -> None:
        if kind == http2.WINDOW_UPDATE:
            self._widen(stream, int.from_bytes(payload[:4], "big"))
        elif kind == http2.SETTINGS and not flags & http2.ACK:
            self._settings(bytes(payload))
        elif kind == http2.PING and not flags & http2.ACK:
            self.out.append(http2.frame(http2.PING, http2.ACK, 0, bytes(payload)))

    def _request(self, stream: int) -> None:
        self._put(lambda: self._answer(stream, self._payload))

    def _settings(self, payload: bytes) -> None:
        for at in range(0, len(payload), 6):
            if int.from_bytes(payload[at : at + 2], "big") == http2.INITIAL_WINDOW:
                self._initial = int.from_bytes(payload[at + 2 : at + 6], "big")
        self.out.append(http2.frame(http2.SETTINGS, http2.ACK, 0))
        self._go_on()

    def _widen(self, stream: int, more: int) -> None:
        if stream:
            self._streams[stream] = self._streams.get(stream, 0) + more
        else:
            self._room += more
        self._go_on()

    def _go_on(self) -> None:
        waiting, self._waiting = self._waiting, []
        for stream, payload in waiting:
            self._send(stream, payload)

    def _answer(self, stream: int, payload: bytes) -> None:
        self.out.append(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, self._head))
        self._send(stream, payload)

    def _send(self, stream: int, payload: bytes) -> None:
        """As much as the windows take; the rest waits for the client to widen them."""
        own = self._initial + self._streams.get(stream, 0)
        size = min(len(payload), max(0, self._room), max(0, own))
        out = self.out
        for at in range(0, size, _ANSWER_FRAME):
            part = payload[at : min(at + _ANSWER_FRAME, size)]
            out.append(http2.frame(http2.DATA, 0, stream, part))
        self._room -= size
        if size < len(payload):
            self._streams[stream] = self._streams.get(stream, 0) - size
            self._waiting.append((stream, payload[size:]))
            return
        self._streams.pop(stream, None)
        end = http2.END_HEADERS | http2.END_STREAM
        out.append(http2.frame(http2.HEADERS, end, stream, self._trailers))


def grpc_message(body: bytes) -> bytes:
    """A gRPC message: uncompressed, its length, its bytes."""
    return b"\0" + len(body).to_bytes(4, "big") + body
