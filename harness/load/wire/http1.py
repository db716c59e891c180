"""One HTTP/1.1 response, read piece by piece (RFC 9112): the path for everything unusual."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import dataclass, field
from enum import Enum, auto

from harness.system.credentials import cut

ERROR_BODY = 1 << 16
"""How much of an error's body is kept for its message, and of headers without an end."""
KEPT_BYTES = 256 << 20
"""No more of kept answers, together or one alone, stays in memory."""
LONGEST_NUMBER = 18
"""Digits of a length that is meant."""
_HEXADECIMAL = b"0123456789abcdefABCDEF"


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
    good = len(parts) >= 2 and parts[0].startswith(b"HTTP/1.")
    if not good or not parts[1].isdigit() or len(parts[1]) != 3:
        raise ProtocolError(f"not an HTTP response: {cut(repr(first), 80)}")
    headers = {
        name.strip().lower(): value.strip()
        for name, _, value in (line.partition(b":") for line in lines)
    }
    status = int(parts[1])
    length = headers.get(b"content-length")
    if length is not None and not (length.isdigit() and len(length) <= LONGEST_NUMBER):
        raise ProtocolError(f"Content-Length is {cut(repr(length), 40)}")
    if (coding := headers.get(b"content-encoding", b"identity").lower()) != b"identity":
        raise ProtocolError(f"a compressed answer, not asked for: {cut(repr(coding), 40)}")
    chunked = headers.get(b"transfer-encoding", b"").lower().endswith(b"chunked")
    connection = headers.get(b"connection", b"").lower()
    close = connection == b"close" or (parts[0] == b"HTTP/1.0" and connection != b"keep-alive")
    if status in (204, 304):
        length = b"0"
    return Head(status, None if chunked or length is None else int(length), chunked, close)


class Expected(Enum):
    """What comes next in a response."""

    HEAD = auto()
    BODY = auto()
    CHUNK_SIZE = auto()
    CHUNK = auto()
    CHUNK_END = auto()
    TRAILERS = auto()


@dataclass(slots=True)
class Response:
    """A response being read. Feed it until it is `complete`; `head` is there from then on.

    Only what is asked for is stored: `keep` for a sampled response, and always an error's body.
    """

    keep: bool = False
    """False again where the body is too large for that."""
    complete: bool = False
    head: Head | None = None
    raw_head: bytes = b""
    body: bytearray = field(default_factory=bytearray)
    rest: bytes = b""
    """Bytes after the end of the response; there should be none."""
    _next: Expected = Expected.HEAD
    _line: bytearray = field(default_factory=bytearray)
    """The beginning of a head or a line whose end has not come."""
    _left: int = 0
    """Bytes of the body, or of the chunk, that are still to come."""

    def feed(self, data: bytes | bytearray | memoryview) -> None:
        """Take the next bytes. Raises ProtocolError."""
        view = memoryview(data)
        while view and not self.complete:
            within = self._next in (Expected.BODY, Expected.CHUNK)
            view = self._take_body(view) if within else self._take_line(view)
        self.rest += view

    def end(self) -> None:
        """The peer closed: fine only for a body without a length. Raises ProtocolError."""
        if self.head is None or self.head.chunked or self.head.length is not None:
            raise ProtocolError("the server closed the connection before its answer was complete")
        self.complete = True

    def _take_body(self, view: memoryview) -> memoryview:
        mine = view[: self._left]
        self._left -= len(mine)
        self._store(mine)
        if not self._left:
            self.complete = self._next is Expected.BODY
            self._next = Expected.CHUNK_END
        return view[len(mine) :]

    def _take_line(self, view: memoryview) -> memoryview:
        mark = b"\r\n\r\n" if self._next is Expected.HEAD else b"\r\n"
        self._line += view
        line, found, rest = bytes(self._line).partition(mark)
        if not found:
            if len(line) > ERROR_BODY:
                raise ProtocolError("response headers without an end")
            return view[:0]
        self._line.clear()
        if self._next is Expected.HEAD:
            self._read_head(line)
        elif self._next is Expected.CHUNK_SIZE:
            self._left = chunk_size(line)
            self._next = Expected.CHUNK if self._left else Expected.TRAILERS
        elif self._next is Expected.TRAILERS:
            self.complete = not line  # they end with an empty line
        elif line:
            raise ProtocolError("a chunk is longer than its size says")
        else:
            self._next = Expected.CHUNK_SIZE
        return memoryview(rest)

    def _read_head(self, raw: bytes) -> None:
        head = parse_head(raw)
        if 100 <= head.status < 200:  # interim answers come before the real one
            return
        self.head, self.raw_head = head, raw + b"\r\n\r\n"
        self.keep = self.keep or head.status != 200
        self._next = Expected.CHUNK_SIZE if head.chunked else Expected.BODY
        self._left = sys.maxsize if head.length is None else head.length
        self.complete = head.length == 0

    def _store(self, data: memoryview) -> None:
        assert self.head is not None
        if not self.keep or (self.head.status != 200 and len(self.body) >= ERROR_BODY):
            return
        self.body += data
        if len(self.body) > KEPT_BYTES:
            self.keep = False
            self.body.clear()

    def message(self) -> str:
        """The error in words: Triton's own where the body has it."""
        assert self.head is not None
        text = self.body.decode("utf-8", "replace")
        with contextlib.suppress(ValueError, KeyError, TypeError):
            text = str(json.loads(text)["error"])
        return f"HTTP {self.head.status}: {text.strip()}"


def chunk_size(line: bytes) -> int:
    """The size that a chunk's first line gives. Raises ProtocolError."""
    digits = line.partition(b";")[0].strip()
    if not digits or len(digits) > LONGEST_NUMBER or digits.strip(_HEXADECIMAL):
        raise ProtocolError(f"chunk size is {cut(repr(line), 40)}")
    return int(digits, 16)
