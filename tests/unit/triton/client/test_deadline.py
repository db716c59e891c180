"""Exchanges over real sockets that are ended, or not, from beside them."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from harness.triton.client import deadline
from harness.triton.client.deadline import LATE, Exchange, Watch


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection: the client's end and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
    with client, server:
        client.settimeout(5.0)
        yield client, server


def exchange_over(client: Any) -> Exchange:
    exchange = Exchange()
    exchange.socket = client
    return exchange


def test_one_that_is_late_is_shut_and_no_other(ends: tuple[socket.socket, socket.socket]) -> None:
    client, server = ends
    exchange = exchange_over(client)
    exchange.look(time.monotonic())
    exchange.begin(60.0)
    exchange.look(time.monotonic())
    server.sendall(b"in time")
    assert client.recv(100) == b"in time" and not exchange.ended
    exchange.look(exchange.until + 0.1)
    assert client.recv(100) == b"" and exchange.ended == LATE
    exchange.begin(60.0)
    assert not exchange.ended


def test_one_that_sends_too_much_is_shut(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, server = ends
    monkeypatch.setattr(deadline, "LARGEST", 1000)
    exchange = exchange_over(client)
    for _ in range(3):  # each of its own is small enough
        exchange.begin(60.0)
        exchange.look(time.monotonic())
        server.sendall(bytes(600))
        assert len(client.recv(600, socket.MSG_WAITALL)) == 600
        exchange.look(time.monotonic())
        assert not exchange.ended
    server.sendall(bytes(600))
    client.recv(600, socket.MSG_WAITALL)
    exchange.look(time.monotonic())
    assert exchange.ended == "more than 1000 bytes" and client.recv(1) == b""


def test_a_number_that_another_socket_has_by_now_is_left_alone(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    client, _ = ends

    class ClosedMeanwhile:
        """Its number is another's by the time that the copy is made."""

        numbers = iter((client.fileno(), -1))

        def fileno(self) -> int:
            return next(self.numbers)

    exchange = exchange_over(ClosedMeanwhile())
    exchange.begin(-1.0)
    exchange.look(time.monotonic())
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    assert not exchange.ended


def test_the_watch_looks_by_itself_and_starts_anew(
    ends: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, _ = ends
    monkeypatch.setattr(deadline, "TICK_S", 0.01)
    watch, exchange = Watch(), exchange_over(client)
    for _ in range(2):
        watch.add(exchange)
        watch.remove(exchange)
    watch.add(exchange)
    exchange.begin(0.02)
    assert client.recv(1) == b"" and exchange.ended == LATE
    assert exchange.until < math.inf
    watch.remove(exchange)
