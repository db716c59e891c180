"""Waiting on sockets."""

import socket
import time

import pytest

from harness.load.wire.poller import READ, WRITE, Poller


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
