"""The socket of a gRPC connection, over a socket pair."""

import socket
import time

import pytest
from support.http2_peer import Owner, answer, frames

from harness.errors import ServerDiedError
from harness.load.wire import connection as module
from harness.load.wire import http2
from harness.load.wire.connection import Connection
from harness.load.wire.grpc import request_headers
from harness.load.wire.poller import Poller
from harness.results.samples import ERROR


class Transport(Owner):
    address, tls = "host:1", None

    def __init__(self):
        super().__init__()
        self.headers = request_headers(self.address)
        self.payloads = [b"\0\0\0\0\5hello", b"\0\0\x10\0\0" + bytes(1 << 20)]
        start = http2.FRAME.pack(len(self.payloads[0]) << 8, http2.END_STREAM, 0)[:5]
        self.middles = [self.headers.again + start, b""]
        self.poller, self.dirty, self.sent, self.written = Poller(), [], [0] * 4, [0] * 4

    def flush(self):
        while self.dirty:
            self.dirty.pop().flush()

    def retire(self, connection):
        self.log.append(("retire",))

    def drop(self, connection):
        self.log.append(("drop",))
        connection.close()


@pytest.fixture
def pair(monkeypatch):
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(module, "open_stream", lambda *_: ours)
    ours.setblocking(False)
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def opened(pair):
    pair[1].sendall(http2.settings({http2.INITIAL_WINDOW: 2 << 20}) + http2.window_update(0, 2**21))
    transport = Transport()
    connection = Connection(transport)
    greeting = pair[1].recv(1 << 16)
    assert greeting.startswith(http2.PREFACE)
    kinds = [kind for kind, *_ in frames(greeting[len(http2.PREFACE) :])]
    assert kinds[:3] == [http2.SETTINGS, http2.WINDOW_UPDATE, http2.SETTINGS]
    return connection, transport, pair[1]


def test_requests_go_out_in_one_write_and_their_time_begins_then(opened):
    connection, transport, peer = opened
    connection.request(2, 0)
    connection.request(0, 0)
    assert transport.sent == [0] * 4 and transport.dirty == [connection]
    transport.flush()
    assert transport.sent[0] == transport.sent[2] > 0 and transport.sent[1] == 0
    assert transport.written[0] == transport.written[2] > transport.sent[0]
    found = frames(peer.recv(1 << 16))
    assert [(kind, stream) for kind, _, stream, _ in found if kind == http2.DATA] == [
        (http2.DATA, 1), (http2.DATA, 3),
    ]  # fmt: skip
    peer.sendall(answer(3) + answer(1))
    connection.ready(0)
    assert transport.log == [("done", 0), ("done", 2)]


def test_cutting_a_large_message_into_frames_is_inside_the_clock(opened, monkeypatch):
    connection, transport, _ = opened
    framed_at = []
    frame = connection.outgoing.request
    monkeypatch.setattr(connection.outgoing, "request", lambda stream, index: (
        framed_at.append(time.monotonic_ns()), frame(stream, index)
    ))  # fmt: skip
    connection.request(1, 1)
    transport.flush()
    assert 0 < transport.sent[1] <= framed_at[0]


def test_a_large_message_is_handed_over_in_slices_of_itself(opened):
    """No byte of it is copied on the way to the kernel; between them only frame headers."""
    connection, transport, _ = opened
    connection.request(1, 1)
    pieces = [part for part in connection.outgoing.parts if isinstance(part, memoryview)]
    assert all(piece.obj is transport.payloads[1] for piece in pieces)
    assert sum(map(len, pieces)) == len(transport.payloads[1])


def test_what_the_kernel_does_not_take_follows_when_it_can(opened):
    connection, transport, peer = opened
    connection.request(1, 1)
    transport.flush()
    assert connection.unsent
    received = b""
    while connection.unsent:
        received += peer.recv(1 << 20)
        connection.ready(module.WRITE)
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        while True:
            received += peer.recv(1 << 20)
    data = b"".join(p for kind, _, _, p in frames(received) if kind == http2.DATA)
    assert data == transport.payloads[1]


def test_a_connection_that_leaves_is_dropped_after_its_last_stream(opened):
    connection, transport, peer = opened
    connection.request(0, 0)
    transport.flush()
    peer.sendall(http2.frame(http2.GOAWAY, 0, 0, b"\0\0\0\1\0\0\0\0"))
    connection.ready(0)
    assert transport.log == [("retire",)]
    peer.sendall(answer(1))
    connection.ready(0)
    assert transport.log == [("retire",), ("done", 0), ("drop",)]


def test_a_broken_connection_fails_its_requests_and_is_dropped(opened):
    connection, transport, peer = opened
    connection.request(3, 0)
    transport.flush()
    peer.close()
    connection.ready(0)
    (name, slot, status, message), dropped = transport.log
    assert (name, slot, status) == ("failed", 3, ERROR)
    assert "connection" in message and dropped == ("drop",)


def test_a_server_that_speaks_something_else_is_said_at_once(pair):
    pair[1].sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    pair[1].shutdown(socket.SHUT_WR)
    with pytest.raises(ServerDiedError, match="host:1 does not answer in HTTP/2"):
        Connection(Transport())
