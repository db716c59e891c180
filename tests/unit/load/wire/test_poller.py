"""Waiting on sockets, and the sockets."""

import socket
import time

import pytest

from harness.errors import ServerDiedError, ServerError
from harness.load.wire.poller import READ, WRITE, Poller, connect


@pytest.mark.parametrize("address", ["host", ":80", "host:http"])
def test_what_is_no_address(address):
    with pytest.raises(ServerError, match="not an address"):
        connect(address)


def test_a_connection_does_not_wait_to_fill_a_packet():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with connect(address) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            with pytest.raises(BlockingIOError):  # after a tick, not for ever
                sock.recv(1)
    with pytest.raises(ServerDiedError, match=address):
        connect(address)


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("seconds", [0.0, 0.0005, 5.0])
def test_what_is_ready_is_handled_however_long_the_wait(pair, seconds):
    poller, masks = Poller(), []
    poller.add(pair[0].fileno(), masks.append)
    pair[1].sendall(b"x")
    poller.wait(seconds)
    poller.writing(pair[0].fileno(), True)
    poller.wait(seconds)
    poller.writing(pair[0].fileno(), False)
    poller.wait(seconds)
    assert masks == [READ, READ | WRITE, READ]
    poller.remove(pair[0].fileno())
    poller.remove(pair[0].fileno())
    poller.wait(0.0)
    poller.close()
    assert len(masks) == 3


def test_a_socket_that_a_handler_removed_is_not_handled_any_more(pair):
    poller, handled = Poller(), []

    def handler(mine, other):
        def handle(mask):
            handled.append(mine)
            poller.remove(other)

        return handle

    fds = [s.fileno() for s in pair]
    poller.add(fds[0], handler(*fds))
    poller.add(fds[1], handler(*reversed(fds)))
    for sock in pair:
        sock.sendall(b"x")
    poller.wait(1.0)
    assert len(handled) == 1
    poller.close()


def test_the_moment_of_waking_is_before_all_handlers(pair):
    poller, seen = Poller(), []
    poller.add(pair[0].fileno(), lambda _: seen.append((poller.woke, time.monotonic_ns())))
    pair[1].sendall(b"x")
    begin = time.monotonic_ns()
    poller.wait(1.0)
    ((woke, handled),) = seen
    assert begin < woke <= handled
    poller.close()
