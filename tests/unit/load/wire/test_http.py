"""One request a connection, over socket pairs."""

import socket

import pytest

from harness.load.wire import http as module
from harness.load.wire.http import WireHttp
from harness.results.samples import ERROR

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc"
REFUSED = b'HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\n{"error": "bad"}'[:-1]


@pytest.fixture
def opened(monkeypatch):
    """A transport of two slots, its log, and the servers' ends of every connection of theirs."""
    peers = []

    def connect(address, tls):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.settimeout(5)
        peers.append(theirs)
        return ours

    monkeypatch.setattr(module, "open_stream", connect)
    transport, log = WireHttp("host:1", [b"first", b"second"], 2), []
    transport.done = lambda slot, now: log.append(("done", slot))
    transport.failed = lambda slot, now, status, text: log.append(("failed", slot, status, text))
    transport.keep = lambda slot, raw: log.append(("keep", slot, raw))
    transport.open()
    (tried,) = peers  # whether the server is there: closed again
    assert tried.recv(1) == b""
    peers.clear()
    transport.prepare(0)
    transport.prepare(1)
    yield transport, log, peers
    transport.close()
    for peer in peers:
        peer.close()


def test_each_slot_has_its_connection(opened):
    transport, log, peers = opened
    transport.send(1, 0)
    transport.send(0, 1)
    assert (peers[0].recv(100), peers[1].recv(100)) == (b"second", b"first")
    transport.wanted[0] = True
    peers[0].sendall(OK)
    transport.poll(1.0)
    assert log == [("keep", 0, OK), ("done", 0)]


def test_a_slot_connects_for_its_first_request_and_once(monkeypatch):
    peers = []

    def connect(address, tls):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        peers.append(theirs)
        return ours

    monkeypatch.setattr(module, "open_stream", connect)
    transport = WireHttp("host:1", [b"first", b"second"], 2)
    transport.send(1, 0)
    (peer,) = peers
    assert peer.recv(100) == b"first"
    transport.prepare(1)
    assert len(peers) == 1
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
    assert log == [("done", 0)] * 3 and len(peers) == 2


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
    assert log == [("done", 0)] and len(peers) == 3
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
    assert (name, slot, status) == ("failed", 0, ERROR) and len(peers) == 3


def test_an_abandoned_request_leaves_no_late_answer(opened):
    transport, log, peers = opened
    transport.send(0, 0)
    transport.abandon(0)
    with pytest.raises(OSError):
        peers[0].recv(100)
        peers[0].sendall(OK)
        peers[0].sendall(OK)
    assert log == [] and len(peers) == 3
