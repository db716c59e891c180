"""What leaves on one HTTP/2 connection: requests framed within what the peer allows. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, repeat

from harness.load.wire import http2

SMALL = 4096
"""Parts up to this size are cheaper joined than written as a vector."""


class Upload:
    """What is left of a message that did not fit the windows, and its stream's window."""

    __slots__ = ("left", "window")

    def __init__(self, left: memoryview, window: int) -> None:
        self.left = left
        self.window = window


class Outgoing:
    """Gathers frames in `parts`, for whoever writes them to the socket.

    `payloads` are gRPC messages with their prefix; `middles` what stands between the stream's two
    numbers in a short request: the header block and the beginning of the DATA frame.
    """

    def __init__(
        self, headers: http2.RequestHeaders, payloads: Sequence[bytes], middles: Sequence[bytes]
    ) -> None:
        self.parts: list[bytes | memoryview] = []
        self.bulky = False
        """Whether a part is too large to be joined with the others."""
        self.uploads: dict[int, Upload] = {}
        """Stream to the rest of its message."""
        self.limit = 1 << 30
        """How many streams the peer takes at a time."""
        self.window = http2.DEFAULT_WINDOW
        """Of the whole connection: bytes that may still be sent."""
        self._stream_window = http2.DEFAULT_WINDOW
        self._frame = http2.DEFAULT_FRAME
        self._small = http2.DEFAULT_FRAME
        self._table = http2.DEFAULT_TABLE
        self._indexed = False
        self._resize = False
        self._headers, self._payloads, self._middles = headers, payloads, middles
        word = len(headers.again) << 8 | http2.HEADERS
        self._begin = http2.FRAME.pack(word, http2.END_HEADERS, 0)[:5]

    def request(self, stream: int, index: int) -> None:
        """Open a stream with message number `index`."""
        payload = self._payloads[index]
        size = len(payload)
        name = stream.to_bytes(4, "big")
        middle = self._middles[index]
        fits = middle and self._indexed and size <= self._small and size <= self.window
        if fits and not self.uploads:
            self.window -= size
            self.parts.append(b"".join((self._begin, name, middle, name, payload)))
            return
        # headers spelled out, or a message that does not fit the windows as they are
        block = self._headers.again if self._indexed else self._first_block()
        self.parts.append(b"%b\x01\x04%b%b" % (len(block).to_bytes(3, "big"), name, block))
        self.uploads[stream] = Upload(memoryview(payload), self._stream_window)
        self._pump()

    def _first_block(self) -> bytes:
        """The block that fills the peer's table, if it has room, so that later ones are short."""
        resize = b""
        if self._resize:
            self._resize = False
            resize = http2.integer(min(self._table, http2.DEFAULT_TABLE), 5, 0x20)
        if not self._headers.fits(self._table):
            return resize + self._headers.plain
        self._indexed = True
        return resize + self._headers.first

    def _pump(self) -> None:
        """Frame as much of the waiting messages as both windows allow, first come first served."""
        for stream, upload in list(self.uploads.items()):
            while (fits := min(len(upload.left), upload.window, self.window)) > 0:
                whole = min(fits, len(upload.left) - 1) // self._frame
                if whole > 1:
                    self._whole_frames(stream, upload, whole)
                    continue
                size = min(fits, self._frame)
                flags = http2.END_STREAM if size == len(upload.left) else 0
                self.parts.append(http2.FRAME.pack(size << 8 | http2.DATA, flags, stream))
                self.parts.append(upload.left[:size])
                self._spend(upload, size)
            if not upload.left:
                del self.uploads[stream]

    def _whole_frames(self, stream: int, upload: Upload, count: int) -> None:
        """Frames of full size at once: one by one, a message of megabytes takes half a
        millisecond, between an answer and the next request.
        """
        frame = self._frame
        head = http2.FRAME.pack(frame << 8 | http2.DATA, 0, stream)
        parts = [upload.left[at : at + frame] for at in range(0, count * frame, frame)]
        self.parts.extend(chain.from_iterable(zip(repeat(head), parts, strict=False)))
        self._spend(upload, count * frame)

    def _spend(self, upload: Upload, size: int) -> None:
        upload.left = upload.left[size:]
        upload.window -= size
        self.window -= size
        self.bulky = self.bulky or size > SMALL

    def cancel(self, stream: int) -> None:
        """Tell the peer that nobody waits for this stream any more, and send no more of it."""
        self.uploads.pop(stream, None)
        self.parts.append(http2.reset(stream, http2.CANCEL))

    def widen(self, stream: int, increment: int) -> None:
        """The peer takes this many bytes more, on a stream or (0) on the whole connection."""
        if stream == 0:
            self.window += increment
        elif stream in self.uploads:
            self.uploads[stream].window += increment
        self._pump()

    def allow(self, settings: Sequence[tuple[int, int]]) -> None:
        """What the peer's SETTINGS frame says."""
        for key, value in settings:
            if key == http2.INITIAL_WINDOW:
                for upload in self.uploads.values():
                    upload.window += value - self._stream_window
                self._stream_window = value
            elif key == http2.MAX_FRAME:
                self._frame = value
            elif key == http2.MAX_STREAMS:
                self.limit = max(1, value)
            elif key == http2.TABLE_SIZE and value != self._table:
                if value < self._table:  # our entries may be gone; a larger one changes nothing
                    self._indexed, self._resize = False, True
                self._table = value
        self._small = min(self._frame, self._stream_window)
        self.parts.append(http2.frame(http2.SETTINGS, http2.ACK, 0))
        self._pump()
