"""One HTTP/1.1 response, read piece by piece (RFC 9112): the path for everything unusual."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field

from harness.system.credentials import cut

ERROR_BODY = 1 << 16
"""How much of an error's body is kept for its message."""


class ProtocolError(Exception):
    """The peer sent what its protocol does not allow; the connection can't be used further."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the first lines say. `length` is None where the body has no Content-Length."""

    status: int
    length: int | None
    chunked: bool
    close: bool


def parse_head(head: bytes) -> Head:
    """Read status line and headers (everything before the empty line). Raises ProtocolError."""
    first, *lines = head.split(b"\r\n")
    parts = first.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise ProtocolError(f"not an HTTP response: {cut(repr(first), 80)}")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    status = int(parts[1])
    length = headers.get(b"content-length")
    if length is not None and not length.isdigit():
        raise ProtocolError(f"Content-Length is {cut(repr(length), 40)}")
    chunked = headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
    connection = headers.get(b"connection", b"").lower()
    close = connection == b"close" or (parts[0] == b"HTTP/1.0" and connection != b"keep-alive")
    if status in (204, 304):
        length = b"0"
    return Head(status, None if chunked or length is None else int(length), chunked, close)


@dataclass(slots=True)
class Response:
    """A response being read. Feed it until it is `complete`; `head` is there from then on.

    Only what is asked for is stored: `keep` for a sampled response, and always an error's body.
    """

    keep: bool = False
    complete: bool = False
    head: Head | None = None
    raw_head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    rest: bytes = b""
    """Bytes after the end of the response; there should be none."""
    _buffer: bytearray = field(default_factory=bytearray)
    _left: int = 0
    """Bytes of the body, or of the chunk and its line end, that are still to come."""
    _data_left: int = 0

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises ProtocolError."""
        if self.head is None:
            self._buffer += data
            self._read_head()
        elif self.head.chunked:
            self._buffer += data
            self._read_chunks()
        else:
            self._read_body(data)

    def end(self) -> None:
        """The peer closed: fine only for a body without a length. Raises ProtocolError."""
        if self.head is None or self.head.chunked or self.head.length is not None:
            raise ProtocolError("the server closed the connection before its answer was complete")
        self.complete = True

    def _read_head(self) -> None:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > ERROR_BODY:
                raise ProtocolError("response headers without an end")
            return
        self.raw_head = bytes(self._buffer[: end + 4])
        head = parse_head(self.raw_head[:-4])
        body = bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        if 100 <= head.status < 200:  # interim answers come before the real one
            if body:
                self.feed(body)
            return
        self.head = head
        self.keep = self.keep or head.status != 200
        self._left = head.length or 0
        if head.length == 0:
            self.complete, self.rest = True, body
        elif body:
            self.feed(body)

    def _read_body(self, data: bytes | bytearray | memoryview) -> None:
        assert self.head is not None
        if self.head.length is None:
            self._store(data)
            return
        mine = data[: self._left]
        self._store(mine)
        self._left -= len(mine)
        if self._left == 0:
            self.complete, self.rest = True, bytes(data[len(mine) :])

    def _read_chunks(self) -> None:
        buffer = self._buffer
        while buffer and not self.complete:
            if self._left:
                taken = min(self._left, len(buffer))
                data = min(self._data_left, taken)
                self._store(bytes(buffer[:data]))
                self._data_left -= data
                self._left -= taken
                del buffer[:taken]
                continue
            end = buffer.find(b"\r\n")
            if end < 0:
                return
            if not self._next_chunk(bytes(buffer[:end]), end):
                return

    def _next_chunk(self, line: bytes, end: int) -> bool:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise ProtocolError(f"chunk size is {cut(repr(line), 40)}") from None
        if size:
            del self._buffer[: end + 2]
            self._data_left, self._left = size, size + 2
            return True
        over = self._buffer.find(b"\r\n\r\n", end)  # trailers end with an empty line
        if over < 0:
            return False
        self.complete, self.rest = True, bytes(self._buffer[over + 4 :])
        return True

    def _store(self, data: bytes | bytearray | memoryview) -> None:
        assert self.head is not None
        if self.keep and (self.head.status == 200 or len(self.body) < ERROR_BODY):
            self.body += data

    def message(self) -> str:
        """The error in words: Triton's own where the body has it."""
        assert self.head is not None
        text = self.body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["error"])
        return f"HTTP {self.head.status}: {text.strip()}"
