"""A user's connection, against servers that answer, refuse, are late or go away."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from harness.load.null.server import running
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.plan import Plan
from harness.swarm.links import BROKEN, LINKS, AnsweredError, HttpLink, Link

POST = b"POST /v2/models/null/infer HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"


def link(protocol: str, address: str, message: bytes, limit: float = 10.0) -> Link:
    return LINKS[protocol](Plan(protocol, address, (message,), 1, limit))


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_asks_again_and_again_and_gives_the_answer_where_it_is_wanted(protocol: str) -> None:
    with running(protocol, 100_000) as address:
        mine = link(protocol, address, POST if protocol == "http" else bytes(1_000))
        before = time.monotonic_ns()
        done, raw = mine.ask(0)
        assert (raw, before < mine.sent < done < time.monotonic_ns()) == (b"", True)
        _, raw = mine.ask(0, wanted=True)
        assert raw.endswith(bytes(100_000))
        done, _ = mine.ask(0)
    assert mine.sent < done
    with pytest.raises(BROKEN):  # the server is gone, and so is who listened there
        mine.ask(0)
    mine.close()


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_it_gets_ready_before_it_sends_at_the_moment_that_is_due(protocol: str) -> None:
    with running(protocol, 100) as address:
        mine = link(protocol, address, POST if protocol == "http" else bytes(1_000))
        late = []
        for _ in range(20):  # the first of them connects, and not before its moment either
            due = time.monotonic_ns() + 1_000_000
            done, _ = mine.ask(0, due=due)
            assert mine.sent < done
            late.append(mine.sent - due)
        mine.close()
    assert 0 <= min(late) < 200_000


def test_a_message_larger_than_what_a_grpc_server_takes_at_once_gets_there() -> None:
    with running("grpc", 10) as address:
        mine = link("grpc", address, bytes(3_000_000))
        for _ in range(3):
            mine.ask(0)
        mine.close()


Talk = Callable[[socket.socket, int], None]


@contextmanager
def server(talk: Talk) -> Iterator[tuple[str, list[int]]]:
    """Calls `talk` with each connection and its number; yields its address and the numbers."""
    numbers: list[int] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    made = listener.accept()[0]
                except OSError:
                    return
                numbers.append(len(numbers))
                with made:
                    talk(made, numbers[-1])

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}", numbers
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


def answering(text: bytes) -> Talk:
    def talk(made: socket.socket, _: int) -> None:
        while made.recv(1000):
            made.sendall(text)

    return talk


def test_an_error_of_the_servers_leaves_the_connection_as_it_is() -> None:
    refusal = b"HTTP/1.1 503 No\r\nContent-Length: 16\r\n\r\n" + b'{"error":"full"}'
    with server(answering(refusal)) as (address, numbers):
        mine = link("http", address, POST)
        for _ in range(2):
            with pytest.raises(AnsweredError, match="HTTP 503: full"):
                mine.ask(0)
        mine.close()
    assert numbers == [0]


def test_an_answer_as_long_as_the_last_is_not_taken_for_one_by_its_length() -> None:
    refusal = b'HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\n"no"'
    assert len(refusal) == len(ANSWER) + 1
    usual = ANSWER.replace(b"3", b"4") + b"!"
    pieces = [(usual,), (usual,), (refusal,), (usual[:20], usual[20:]), (usual,)]

    def talk(made: socket.socket, _: int) -> None:
        for answer in pieces:
            made.recv(1000)
            for piece in answer:
                made.sendall(piece)
                time.sleep(0.01)

    with server(talk) as (address, numbers):
        mine = link("http", address, POST)
        for _ in range(2):
            mine.ask(0)
        with pytest.raises(AnsweredError, match="HTTP 503"):
            mine.ask(0)
        mine.ask(0)
        assert mine.ask(0, wanted=True)[1] == usual
        mine.close()
    assert numbers == [0]


def test_what_is_late_ends_its_connection_so_that_the_next_answer_is_not_its() -> None:
    def talk(made: socket.socket, number: int) -> None:
        while made.recv(1000):
            if number:
                made.sendall(ANSWER)

    with server(talk) as (address, numbers):
        mine = link("http", address, POST, limit=0.05)
        with pytest.raises(TimeoutError):
            mine.ask(0)
        mine._plan = replace(mine._plan, request_timeout=10.0)
        assert mine.ask(0, wanted=True)[1] == ANSWER
        mine.close()
    assert numbers == [0, 1]


def test_a_connection_that_the_server_closed_in_between_costs_no_request() -> None:
    def talk(made: socket.socket, _: int) -> None:
        made.recv(1000)
        made.sendall(ANSWER)

    with server(talk) as (address, numbers):
        mine = link("http", address, POST)
        for _ in range(3):
            assert mine.ask(0, wanted=True)[1] == ANSWER
            stream = mine._stream
            assert isinstance(stream, socket.socket)
            while True:  # until its end has come
                try:
                    stream.recv(1, socket.MSG_PEEK)
                    break
                except BlockingIOError:
                    time.sleep(0.001)
        mine.close()
    assert numbers == [0, 1, 2]


def test_a_server_that_is_slow_to_greet_makes_no_late_client() -> None:
    greets: list[int] = []

    def slow(made: socket.socket, _: int) -> None:
        """A relay to the server, which says nothing for a while."""
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as there:
            time.sleep(0.05)
            greets.append(time.monotonic_ns())
            while ready := select.select([made, there], [], [], 10)[0]:
                for one in ready:
                    data = one.recv(65536)
                    if not data:
                        return
                    (there if one is made else made).sendall(data)

    with running("grpc", 10) as address, server(slow) as (relay, _):
        mine = link("grpc", relay, bytes(10))
        mine.ask(0)
        assert 0 < mine.sent < greets[0]
        done, _ = mine.ask(0)
        assert greets[0] < mine.sent < done, "from then on it is open"
        mine.close()


def test_half_an_answer_is_a_broken_connection() -> None:
    def talk(made: socket.socket, _: int) -> None:
        made.recv(1000)
        made.sendall(ANSWER[:-1])

    with server(talk) as (address, _):
        mine = HttpLink(Plan("http", address, (POST,), 1, 10.0))
        with pytest.raises(ProtocolError, match="before its answer was complete"):
            mine.ask(0)
