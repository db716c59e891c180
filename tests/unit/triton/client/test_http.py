"""Failed calls, against a real HTTP server that is no Triton."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.errors import BackendError, DeadlineError, ServerDiedError, ServerError
from harness.system.network import Access
from harness.triton.client.backend import TritonCaller, fetch
from harness.triton.client.common import ServerTarget

SLOW_S = 3.0
"""Longer than the test's limit of a request."""


class Handler(BaseHTTPRequestHandler):
    """Is live and knows no model; answers a request as `answer` says."""

    protocol_version = "HTTP/1.1"
    answer = "refuse"
    over, dripped = threading.Event(), threading.Event()
    seen: list[str | None] = []  # noqa: RUF012

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        if Handler.answer == "drip":
            self._drip()
            return
        Handler.seen.append(self.headers.get("Authorization"))
        self._send(400 if "/models/" in self.path else 200, {"name": "other"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if Handler.answer == "wait":
            Handler.over.wait(SLOW_S)
        if Handler.answer == "hang up":
            self.connection.close()
            self.close_connection = True
            return
        self._send(400, {"error": "the words of the server"})

    def _drip(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(1000):
                Handler.over.wait(0.1)
                self.wfile.write(b" ")
            Handler.dripped.set()

    def _send(self, status: int, data: object) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    Handler.seen.clear()
    Handler.over.clear()
    Handler.dripped.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    Handler.over.set()
    server.shutdown()
    server.server_close()


def target(server: ThreadingHTTPServer, timeout: float = 10.0) -> ServerTarget:
    return ServerTarget(f"127.0.0.1:{server.server_address[1]}", "m", timeout)


def test_an_answer_that_is_an_error(server: ThreadingHTTPServer) -> None:
    Handler.answer = "refuse"
    with TritonCaller("http", target(server)) as caller, pytest.raises(BackendError) as caught:
        caller.infer([])
    assert (type(caught.value), caught.value.message) == (BackendError, "the words of the server")


def test_no_answer_in_time(server: ThreadingHTTPServer) -> None:
    Handler.answer = "wait"
    late = pytest.raises(DeadlineError, match=r"within 0\.3 s")
    with TritonCaller("http", target(server, 0.3)) as caller, late:
        caller.infer([])


def test_a_connection_that_breaks_and_a_server_that_is_gone(server: ThreadingHTTPServer) -> None:
    Handler.answer = "hang up"
    where = target(server)
    with TritonCaller("http", where) as caller:
        with pytest.raises(BackendError, match="the connection to Triton broke"):
            caller.infer([])
        server.shutdown()
        server.server_close()
        with pytest.raises(ServerDiedError, match="is gone"):
            caller.infer([])
    with pytest.raises(ServerError, match="can't be reached"):
        fetch("http", where.address, "m")


def test_a_server_that_answers_bit_by_bit_has_the_time_that_is_said(
    server: ThreadingHTTPServer,
) -> None:
    Handler.answer = "drip"
    where = target(server).address
    with pytest.raises(ServerError, match="no whole answer within 1 s"):
        fetch("http", where, "m", timeout=1.0)
    assert not Handler.dripped.is_set(), "it waited for all of the answer"


def test_headers_go_along_and_a_model_that_is_not_ready_is_named(
    server: ThreadingHTTPServer,
) -> None:
    Handler.answer = "refuse"
    access = Access(headers=(("Authorization", "Bearer t"),))
    with pytest.raises(ServerError, match="no model 'm' ready"):
        fetch("http", target(server).address, "m", access)
    assert set(Handler.seen) == {"Bearer t"}
