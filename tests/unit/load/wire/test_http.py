"""One request a connection, over socket pairs."""

import select
import socket
import time

import pytest

from harness.errors import ServerDiedError
from harness.load.wire import sockets
from harness.load.wire.http import WireHttp
from harness.results.samples import ERROR

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
REFUSED = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n{"error": "bad"}'[:-1]


class Peers(list):
    """The server's ends of the connections, as they come."""

    def __init__(self, listener):
        self.listener = listener

    def take(self):
        """All that have come meanwhile."""
        while select.select([self.listener], [], [], 0.0)[0]:
            self.append(self.listener.accept()[0])
            self[-1].settimeout(5)
        return len(self)


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
def opened(listener):
    """A transport of two slots, its log, and the servers' ends of its connections."""
    host, port = listener.getsockname()
    transport, log = WireHttp(f"{host}:{port}", [b"first", b"second"], 2), []
    transport.done = lambda slot, now: log.append(("done", slot))
    transport.failed = lambda slot, now, status, text: log.append(("failed", slot, status, text))
    transport.keep = lambda slot, raw: log.append(("keep", slot, raw))
    transport.open()
    peers = Peers(listener)
    assert peers.take() == 1 and peers[0].recv(1) == b""  # whether the server is there
    peers.clear()
    transport.connect()
    assert peers.take() == 2  # before anything is sent
    yield transport, log, peers
    transport.close()
    for peer in peers:
        peer.close()


def test_a_server_that_hangs_up_before_it_is_asked_is_named(listener, monkeypatch):
    def after_a_reset(sock, made=sockets._set):
        listener.close()  # with what it did not accept: a reset
        return made(sock)

    monkeypatch.setattr(sockets, "_set", after_a_reset)
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(ServerDiedError, match=f"no connection to the server at {address}"):
        WireHttp(address, [b"first"], 1).open()


def test_each_slot_has_its_connection(opened):
    transport, log, peers = opened
    transport.send(1, 0)
    transport.send(0, 1)
    assert (peers[0].recv(100), peers[1].recv(100)) == (b"second", b"first")
    transport.wanted[0] = True
    peers[0].sendall(OK)
    transport.poll(1.0)
    assert log == [("keep", 0, OK), ("done", 0)]


def test_a_request_that_is_sent_too_early_leaves_when_its_connection_is_there(listener):
    """The server's queue is full, so that the kernel drops what asks to be connected."""
    listener.listen(0)
    host, port = listener.getsockname()
    transport, done = WireHttp(f"{host}:{port}", [b"first"], 3), []
    transport.done = lambda slot, now: done.append(slot)
    transport.open()
    listener.accept()[0].close()
    transport.connect()
    for slot in range(3):
        transport.send(slot, 0)
    end, waiting = time.monotonic() + 30, [listener]
    while len(done) < 3 and time.monotonic() < end:
        for sock in select.select(waiting, [], [], 0.0)[0]:
            if sock is listener:
                waiting.append(listener.accept()[0])
            else:
                assert sock.recv(100) == b"first"
                sock.sendall(OK)
        transport.poll(0.01)
    for sock in waiting[1:]:
        sock.close()
    assert sorted(done) == [0, 1, 2]
    transport.close()


def test_a_server_that_is_gone_meanwhile_ends_the_load(listener):
    host, port = listener.getsockname()
    transport = WireHttp(f"{host}:{port}", [b"first"], 2)
    transport.open()
    listener.close()
    transport.connect()
    with pytest.raises(ServerDiedError, match=f"{host}:{port}"):
        transport.poll(5.0)
    transport.close()


def test_the_usual_answer_is_recognised_and_an_unusual_one_read(opened):
    transport, log, peers = opened
    for _ in range(2):
        transport.send(0, 0)
        peers[0].sendall(OK)
        transport.poll(1.0)
    assert (transport.head, transport.total) == (OK[:-3], len(OK))
    transport.send(0, 0)
    for part in (OK[:10], OK[10:-1], OK[-1:]):
        peers[0].sendall(part)
        transport.poll(1.0)
    assert log == [("done", 0)] * 3 and peers.take() == 2


def test_an_error_is_told_in_the_servers_words(opened):
    transport, log, peers = opened
    transport.send(1, 0)
    peers[1].sendall(REFUSED)
    transport.poll(1.0)
    assert log == [("failed", 1, ERROR, 'HTTP 400: {"error": "bad"')]


@pytest.mark.parametrize("answer", [
    OK + b"more", OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
])  # fmt: skip
def test_a_connection_that_can_not_be_used_again_is_replaced(opened, answer):
    transport, log, peers = opened
    transport.send(0, 0)
    peers[0].sendall(answer)
    transport.poll(1.0)
    assert log == [("done", 0)] and peers.take() == 3
    transport.send(0, 1)
    assert peers[2].recv(100).endswith(b"second")


def test_a_connection_that_breaks_fails_its_request_only(opened):
    transport, log, peers = opened
    transport.send(0, 0)
    peers[0].sendall(OK[:20])
    transport.poll(1.0)
    peers[0].close()
    transport.poll(1.0)
    ((name, slot, status, _),) = log
    assert (name, slot, status) == ("failed", 0, ERROR) and peers.take() == 3


def test_an_abandoned_request_leaves_no_late_answer(opened):
    transport, log, peers = opened
    transport.send(0, 0)
    transport.abandon(0)
    with pytest.raises(OSError):
        peers[0].recv(100)
        peers[0].sendall(OK)
        peers[0].sendall(OK)
    assert log == [] and peers.take() == 3
