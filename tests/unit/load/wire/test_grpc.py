"""How streams are spread over connections."""

import pytest

from harness.load.wire import grpc as module
from harness.load.wire.grpc import RETRIES, WireGrpc


class FakeConnection:
    """Takes `room` streams, and ends none by itself."""

    room = 2

    def __init__(self, owner):
        self.owner, self.streams, self.outgoing = owner, {}, self
        self.limit, self.closed, self.unsent = FakeConnection.room, False, ()

    def request(self, slot, index):
        self.streams[len(self.streams)] = slot

    def cancel(self, slot):
        self.streams = {s: other for s, other in self.streams.items() if other != slot}

    def close(self):
        self.closed = True


@pytest.fixture
def transport(monkeypatch):
    monkeypatch.setattr(module, "Connection", FakeConnection)
    return lambda slots: WireGrpc("host:1", [b"x"], slots)


@pytest.mark.parametrize(("slots", "made"), [(1, 1), (2, 1), (5, 3)])
def test_as_many_connections_as_the_stream_limit_asks(transport, slots, made):
    grpc = transport(slots)
    grpc.open()
    for slot in range(slots):
        grpc.send(slot, 0)
    assert len(grpc._connections) == made
    assert sorted(s for c in grpc._connections for s in c.streams.values()) == list(range(slots))
    assert all(len(c.streams) <= c.limit for c in grpc._connections)


def test_a_limit_that_shrank_opens_another_connection(transport):
    grpc = transport(2)
    grpc.open()
    grpc._connections[0].limit = 1
    grpc.send(0, 0)
    grpc.send(1, 0)
    assert [list(c.streams.values()) for c in grpc._connections] == [[0], [1]]
    grpc.abandon(1)
    assert not grpc._connections[1].streams


def test_a_retired_connection_lives_until_it_is_dropped(transport):
    grpc = transport(2)
    grpc.open()
    old = grpc._connections[0]
    grpc.retire(old)
    grpc.retire(old)
    assert not old.closed and old not in grpc._connections and len(grpc._connections) == 1
    grpc.drop(old)
    assert old.closed and len(grpc._connections) == 1
    grpc.drop(grpc._connections[0])
    assert len(grpc._connections) == 1 and not grpc._connections[0].closed


def test_refused_requests_are_not_sent_for_ever(transport):
    grpc = transport(1)
    FakeConnection.room, before = 1 << 30, FakeConnection.room
    try:
        grpc.open()
    finally:
        FakeConnection.room = before
    grpc.send(0, 0)
    for _ in range(RETRIES):
        assert grpc.may_retry(0)
        grpc.retry(0)
    assert not grpc.may_retry(0)


def test_short_messages_are_framed_beforehand(transport):
    grpc = WireGrpc("host:1", [b"abc", bytes(1 << 24)], 1)
    assert grpc.payloads[0] == b"\0\0\0\0\3abc"
    assert grpc.middles[0].endswith(b"\0\0\x08\0\1") and grpc.middles[1] == b""
