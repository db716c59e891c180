"""gRPC over HTTP/2 framing of its own: unary calls of one method, messages prepared as bytes."""

from __future__ import annotations

from collections.abc import Sequence

from harness.load.wire import http2
from harness.load.wire.connection import Connection
from harness.load.wire.poller import TICK_S, Poller
from harness.load.wire.transport import Transport
from harness.system.network import PLAIN, Access

METHOD = b"/inference.GRPCInferenceService/ModelInfer"
RETRIES = 100
"""gRPC servers count a stream for a moment after its end, and refuse the next one at the limit."""
USER_AGENT = b"harness-wire"


def request_headers(
    address: str, metadata: Sequence[tuple[str, str]] = (), scheme: bytes = b"http"
) -> http2.RequestHeaders:
    """What the gRPC protocol asks for, and `metadata`, whose names are in small letters.

    No grpc-accept-encoding, so answers are not compressed.
    """
    return http2.RequestHeaders([
        (b":method", b"POST"), (b":scheme", scheme), (b":path", METHOD),
        (b":authority", address.encode()), (b"content-type", b"application/grpc"),
        (b"te", b"trailers"), (b"user-agent", USER_AGENT),
        *((name.encode(), value.encode()) for name, value in metadata),
    ])  # fmt: skip


def framed(
    headers: http2.RequestHeaders, requests: Sequence[bytes]
) -> tuple[list[bytes], list[bytes]]:
    """Each message with gRPC's prefix, and what stands between the stream's two numbers in a
    request of one frame that every peer takes: header block, DATA frame's start. Empty for larger
    ones.
    """
    payloads = [b"\0" + len(r).to_bytes(4, "big") + r for r in requests]
    middles = [
        headers.again + http2.FRAME.pack(len(p) << 8, http2.END_STREAM, 0)[:5]
        if len(p) <= http2.DEFAULT_FRAME else b""
        for p in payloads
    ]  # fmt: skip
    return payloads, middles


class WireGrpc(Transport):
    """A `Transport` whose slots are streams, on as many connections as the server's limit asks.

    `requests` are serialised ModelInferRequest messages.
    """

    def __init__(
        self, address: str, requests: Sequence[bytes], slots: int, access: Access = PLAIN
    ) -> None:
        super().__init__(requests, slots)
        self.address, self.tls = address, access.tls
        self.headers = request_headers(
            address, access.metadata, b"http" if access.tls is None else b"https"
        )
        self.payloads, self.middles = framed(self.headers, requests)
        self.poller: Poller = Poller()
        self.slots: list[Connection | None] = [None] * slots
        """For each slot: the connection its request is on."""
        self.dirty: list[Connection] = []
        self._connections: list[Connection] = []
        self._request = [0] * slots
        self._retries = 0
        self._old: list[Connection] = []
        self._next = 0

    def open(self) -> None:
        """Connect, read the server's settings, and connect as often as its stream limit asks."""
        self._connections.append(Connection(self))
        limit = self._connections[0].outgoing.limit
        needed = -(-len(self.slots) // max(1, limit))
        for _ in range(needed - 1):
            self._connections.append(Connection(self))

    def send(self, slot: int, request: int) -> None:
        """Queue the request on a connection with room."""
        self._request[slot] = request
        connections = self._connections
        connection = connections[slot % len(connections)]
        if len(connection.streams) >= connection.outgoing.limit:
            connection = self._roomy()
        self.slots[slot] = connection
        connection.request(slot, request)

    def may_retry(self, slot: int) -> bool:
        """Whether this run's refusals have not become too many."""
        return self._retries < RETRIES * len(self.sent)

    def retry(self, slot: int) -> None:
        """Send the slot's request again; its time goes on."""
        self._retries += 1
        self.send(slot, self._request[slot])

    def _roomy(self) -> Connection:
        for connection in self._connections:
            if len(connection.streams) < connection.outgoing.limit:
                return connection
        self._connections.append(Connection(self))
        return self._connections[-1]

    def flush(self) -> None:
        """One write for each connection that has something to say."""
        dirty = self.dirty
        while dirty:
            dirty.pop().flush()

    def poll(self, seconds: float) -> None:
        """Wait for frames; with a single connection, in the read itself."""
        connections = self._connections
        alone = len(connections) == 1 and not self._old and self.tls is None
        if alone and seconds >= TICK_S and not connections[0].unsent:
            self.poller.woke = 0
            connections[0].ready(0)
        else:
            self.poller.wait(seconds)

    def abandon(self, slot: int) -> None:
        """Cancel the slot's stream."""
        connection = self.slots[slot]
        if connection is not None:
            connection.cancel(slot)
            self.flush()

    def retire(self, connection: Connection) -> None:
        """Use a new connection from now on; the old one lives until its streams are finished."""
        if connection in self._connections:
            self._old.append(connection)
            self._connections[self._connections.index(connection)] = Connection(self)

    def drop(self, connection: Connection) -> None:
        """Close a connection; where it was in use, a new one takes its place."""
        connection.close()
        if connection in self._old:
            self._old.remove(connection)
        elif connection in self._connections:
            self._connections[self._connections.index(connection)] = Connection(self)

    def close(self) -> None:
        """Close every connection."""
        for connection in [*self._connections, *self._old]:
            connection.close()
        self.poller.close()
