"""The null server's side of one connection: whole requests are found, prepared answers queued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError

Put = Callable[[Callable[[], None]], None]
_ANSWER_FRAME = http2.DEFAULT_FRAME
_TAKEN = 1 << 20


class Peer(Protocol):
    """Takes bytes; `out` gathers what is to be sent."""

    out: list[bytes]

    def feed(self, data: memoryview) -> None:
        """Bytes from the client; whole requests are put into the queue."""
        ...


class HttpPeer:
    """HTTP/1.1 requests with a Content-Length."""

    def __init__(self, put: Put, response_bytes: int) -> None:
        self.out: list[bytes] = []
        self._put = put
        self._data = bytearray()
        self._skip = 0
        head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\n"
        self._response = f"{head}Content-Length: {response_bytes}\r\n\r\n".encode()
        self._response += bytes(response_bytes)

    def feed(self, data: memoryview) -> None:
        """Bytes from the client. Raises ProtocolError for a request without a length."""
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
        head = bytes(self._data[:end]).lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            raise ProtocolError("a request without Content-Length")
        length = int(head[at + 17 :].split(b"\r\n", 1)[0])
        whole = end + 4 + length
        if len(self._data) >= whole:
            del self._data[:whole]
            self._put(self._answer)
        else:
            self._skip = whole - len(self._data)
            self._data.clear()
        return True

    def _answer(self) -> None:
        self.out.append(self._response)


class GrpcPeer:
    """HTTP/2 streams, each with one message. The client's windows are taken to be large enough."""

    def __init__(self, put: Put, response_bytes: int) -> None:
        self._put = put
        self._data = bytearray()
        self._greeted = False
        self._used = 0
        self._payload = b"\0" + response_bytes.to_bytes(4, "big") + bytes(response_bytes)
        ours = {http2.INITIAL_WINDOW: http2.LARGEST_WINDOW, http2.MAX_FRAME: _TAKEN}
        more = http2.LARGEST_WINDOW - http2.DEFAULT_WINDOW
        self.out = [http2.settings(ours), http2.window_update(0, more)]
        self._head = http2.literal(b":status", b"200")
        self._head += http2.literal(b"content-type", b"application/grpc")
        self._trailers = http2.literal(b"grpc-status", b"0")

    def feed(self, data: memoryview) -> None:
        """Bytes from the client. Raises ProtocolError for anything but HTTP/2."""
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
            if len(self._data) - at - 9 < size:
                break
            self._frame(word & 0xFF, flags, stream, self._data[at + 9 : at + 9 + size])
            at += 9 + size
        del self._data[:at]

    def _frame(self, kind: int, flags: int, stream: int, payload: bytearray) -> None:
        if kind == http2.DATA:
            self._used += len(payload)
            if self._used > http2.LARGEST_WINDOW // 4:
                self.out.append(http2.window_update(0, self._used))
                self._used = 0
            if flags & http2.END_STREAM:
                self._put(lambda: self._answer(stream))
        elif kind == http2.SETTINGS and not flags & http2.ACK:
            self.out.append(http2.frame(http2.SETTINGS, http2.ACK, 0))
        elif kind == http2.PING and not flags & http2.ACK:
            self.out.append(http2.frame(http2.PING, http2.ACK, 0, bytes(payload)))

    def _answer(self, stream: int) -> None:
        out, payload = self.out, self._payload
        out.append(http2.frame(http2.HEADERS, http2.END_HEADERS, stream, self._head))
        for at in range(0, len(payload), _ANSWER_FRAME):
            out.append(http2.frame(http2.DATA, 0, stream, payload[at : at + _ANSWER_FRAME]))
        end = http2.END_HEADERS | http2.END_STREAM
        out.append(http2.frame(http2.HEADERS, end, stream, self._trailers))
