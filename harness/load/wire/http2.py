"""HTTP/2 frames (RFC 9113) and header blocks (RFC 7541), as far as a gRPC client needs them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from harness.load.wire.http1 import ProtocolError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE = range(9)
CONTINUATION = 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITISED = 0x1, 0x1, 0x4, 0x8, 0x20
TABLE_SIZE, ENABLE_PUSH, MAX_STREAMS, INITIAL_WINDOW, MAX_FRAME = 1, 2, 3, 4, 5
DEFAULT_WINDOW = 65535
DEFAULT_FRAME = 16384
LARGEST_FRAME = (1 << 24) - 1
DEFAULT_TABLE = 4096
LARGEST_WINDOW = LAST_STREAM = (1 << 31) - 1
ALLOWED = {INITIAL_WINDOW: (0, LARGEST_WINDOW), MAX_FRAME: (DEFAULT_FRAME, LARGEST_FRAME)}
"""Setting → least and largest value that a peer may give (RFC 9113 section 6.5.2)."""
REFUSED_STREAM, CANCEL = 7, 8
FRAME = struct.Struct(">IBI")
"""A frame's header: length (24 bits) and type (8 bits) together, flags, stream."""
HEAD = FRAME.size
ERRORS = (
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT",
    "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR",
    "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
)  # fmt: skip
_CACHED = 256


def error_name(code: int) -> str:
    """An error code's name, or its number where it has none."""
    return ERRORS[code] if code < len(ERRORS) else str(code)


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One whole frame."""
    return FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


def settings(values: Mapping[int, int]) -> bytes:
    """A SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", k, v) for k, v in values.items()))


def window_update(stream: int, increment: int) -> bytes:
    """A WINDOW_UPDATE frame; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", increment))


def reset(stream: int, code: int) -> bytes:
    """A RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def integer(value: int, bits: int, first: int) -> bytes:
    """HPACK's integer with a prefix of `bits`, the other bits of the first byte from `first`."""
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out = bytearray([first | limit])
    value -= limit
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name: bytes, value: bytes, *, indexed: bool = False) -> bytes:
    """A header field spelled out; `indexed` also puts it into the peer's dynamic table."""
    start = b"\x40" if indexed else b"\x00"
    return start + integer(len(name), 7, 0) + name + integer(len(value), 7, 0) + value


class RequestHeaders:
    """The one header list that every request of a connection has.

    With a dynamic table at the peer the first block fills it and every later one is eight bytes
    of indices; without one each block is spelled out.
    """

    def __init__(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        fields = list(fields)
        size = sum(len(name) + len(value) + 32 for name, value in fields)
        self._size = size
        self.plain = b"".join(literal(name, value) for name, value in fields)
        self.first = b"".join(literal(name, value, indexed=True) for name, value in fields)
        newest = 62  # the dynamic table begins behind the 61 static entries, newest first
        self.again = bytes(0x80 | newest + i for i in reversed(range(len(fields))))

    def fits(self, table: int) -> bool:
        """Whether the list fits a dynamic table of this size (RFC 7541 section 4.1)."""
        return self._size <= table


class HeaderDecoder:
    """Decodes a peer's header blocks, remembering what those mean that change no table.

    Such a block means the same until another one changes the dynamic table; then all is
    forgotten.
    """

    def __init__(self) -> None:
        from hpack import Decoder

        self._decoder = Decoder()
        self._known: dict[bytes, dict[str, str]] = {}
        self.changes = 0
        """How often the table has changed."""

    def decode(self, block: bytes) -> dict[str, str]:
        """Name to value. Raises ProtocolError."""
        known = self._known.get(block)
        if known is not None:
            return known
        from hpack import HPACKError

        table = self._decoder.header_table
        size, before = table.maxsize, list(table.dynamic_entries)
        try:
            fields = {str(name): str(value) for name, value in self._decoder.decode(block)}
        except HPACKError as error:
            raise ProtocolError(f"header block: {error}") from error
        if table.maxsize != size or list(table.dynamic_entries) != before:
            self._known.clear()
            self.changes += 1
        elif len(self._known) < _CACHED:
            self._known[block] = fields
        return fields

    def remembers(self, block: bytes) -> bool:
        """Whether this block is known to change nothing."""
        return block in self._known


def strip(flags: int, kind: int, payload: bytes) -> bytes:
    """A DATA or HEADERS payload without padding and priority. Raises ProtocolError."""
    if flags & PADDED:
        padding = payload[0] if payload else 0
        if padding >= len(payload):
            raise ProtocolError("more padding than frame")
        payload = payload[1 : len(payload) - padding]
    return payload[5:] if kind == HEADERS and flags & PRIORITISED else payload
