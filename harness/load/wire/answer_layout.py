"""The usual answer: recognised in one look, instead of being taken apart frame by frame.

Small answers to equal requests differ in their stream and their tensors only. Their three frames
(headers, one DATA frame with one whole message, trailers) come as one piece of a fixed layout.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from harness.load.wire import http2

_PREFIX = 5


@dataclass(frozen=True, slots=True)
class Usual:
    """The layout of an answer, valid for as long as the peer's header table stays as it is."""

    unpack: Callable[[bytearray, int], tuple[bytes, int, bytes, int, bytes, bytes, int, bytes]]
    """First frame's start, stream, headers with the DATA frame's start, stream, the message's
    prefix, the last frame's start, stream, trailers; of an answer at an offset."""
    fixed: tuple[bytes, bytes, bytes, bytes, bytes]
    """What is equal in all answers: the parts without the three streams."""
    size: int
    data: int
    """Length of the DATA frame: the message and its prefix of five bytes."""
    message: int
    """Where the message begins."""

    @classmethod
    def of(cls, answer: bytes, decoder: http2.HeaderDecoder) -> Self | None:
        """The layout of this answer, or None if it is not a good one of the usual form."""
        frames, at = [], 0
        while len(answer) - at >= http2.HEAD:
            word, flags, stream = http2.FRAME.unpack_from(answer, at)
            frames.append((word & 0xFF, flags, stream, word >> 8))
            at += http2.HEAD + (word >> 8)
        if at != len(answer) or [frame[:2] for frame in frames] != [
            (http2.HEADERS, http2.END_HEADERS), (http2.DATA, 0),
            (http2.HEADERS, http2.END_HEADERS | http2.END_STREAM),
        ] or len({frame[2] for frame in frames}) != 1:  # fmt: skip
            return None
        head, data, tail = (frame[3] for frame in frames)
        if data < _PREFIX:
            return None
        layout = struct.Struct(f">5sI{head + 5}sI5s{data - _PREFIX}x5sI{tail}s")
        start, _, middle, _, prefix, end, _, trailers = layout.unpack(answer)
        whole = prefix[:1] == b"\0" and int.from_bytes(prefix[1:], "big") == data - _PREFIX
        if not whole or not decoder.remembers(middle[:-5]):
            return None
        if not decoder.remembers(trailers) or decoder.decode(trailers).get("grpc-status") != "0":
            return None
        fixed = (start, middle, prefix, end, trailers)
        return cls(layout.unpack_from, fixed, layout.size, data, 2 * http2.HEAD + head + _PREFIX)
