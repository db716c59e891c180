"""The parts of one gRPC connection without a socket, and what a server would send it."""

from typing import NamedTuple

from harness.load.wire import http2
from harness.load.wire.control_frames import ControlFrames
from harness.load.wire.grpc import request_headers
from harness.load.wire.incoming import Incoming
from harness.load.wire.outgoing import Outgoing
from harness.load.wire.streams import Streams

STATUS = http2.literal(b":status", b"200")
TRAILERS = http2.literal(b"grpc-status", b"0")
WHOLE = http2.END_HEADERS | http2.END_STREAM


class Parts(NamedTuple):
    """What belongs to one connection, and a mark for each time that it was left."""

    owner: "Owner"
    outgoing: Outgoing
    streams: Streams
    control: ControlFrames
    incoming: Incoming
    left: list[bool]


class Owner:
    """A transport that writes down what it is told; `retries` refused requests go out again."""

    def __init__(self, slots: int = 4, retries: int = 0) -> None:
        self.wanted = [False] * slots
        self.log: list[tuple[object, ...]] = []
        self.retries = retries

    def done(self, slot: int, now: int) -> None:
        self.log.append(("done", slot))

    def failed(self, slot: int, now: int, status: int, message: str) -> None:
        self.log.append(("failed", slot, status, message))

    def keep(self, slot: int, response: bytes) -> None:
        self.log.append(("keep", slot, response))

    def may_retry(self, slot: int) -> bool:
        return self.retries > 0

    def retry(self, slot: int) -> None:
        self.retries -= 1
        self.log.append(("retry", slot))


def outgoing(*messages: bytes) -> Outgoing:
    """What leaves, for these messages."""
    payloads = [b"\0" + len(m).to_bytes(4, "big") + m for m in messages or (b"hello",)]
    headers = request_headers("host:1")
    starts = [http2.FRAME.pack(len(p) << 8, http2.END_STREAM, 0)[:5] for p in payloads]
    return Outgoing(headers, payloads, [headers.again + start for start in starts])


def parts(*messages: bytes, retries: int = 0) -> Parts:
    """All of one connection but its socket."""
    owner, out, left = Owner(retries=retries), outgoing(*messages), []
    streams = Streams(owner, out)
    control = ControlFrames(streams, out, lambda: left.append(True))
    return Parts(owner, out, streams, control, Incoming(owner, streams, out, control), left)


def give(incoming: Incoming, data: bytes) -> None:
    """The bytes, as they would come from the socket."""
    incoming.room()[: len(data)] = data
    incoming.take(len(data))


def answer(stream: int, message: bytes = b"hello") -> bytes:
    """A server's whole answer."""
    payload = b"\0" + len(message).to_bytes(4, "big") + message
    return (
        http2.frame(http2.HEADERS, http2.END_HEADERS, stream, STATUS)
        + http2.frame(http2.DATA, 0, stream, payload)
        + http2.frame(http2.HEADERS, WHOLE, stream, TRAILERS)
    )


def frames(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """Kind, flags, stream and payload of every frame in what was sent."""
    found, at = [], 0
    while at < len(data):
        word, flags, stream = http2.FRAME.unpack_from(data, at)
        end = at + http2.HEAD + (word >> 8)
        found.append((word & 0xFF, flags, stream, data[at + http2.HEAD : end]))
        at = end
    return found


def sent(out: Outgoing) -> list[tuple[int, int, int, bytes]]:
    """The frames that have been queued since the last call."""
    data = b"".join(out.parts)
    out.parts.clear()
    return frames(data)
