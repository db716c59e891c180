"""Turning a server's trace on and off at a window's ends, and reading what it wrote."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.triton.counters.trace import STAGES, WANTED, Tracer, stages

HTTP = (
    "HTTP_RECV_START", "HTTP_RECV_END", "REQUEST_START", "QUEUE_START", "COMPUTE_START",
    "COMPUTE_INPUT_END", "COMPUTE_OUTPUT_START", "INFER_RESPONSE_COMPLETE", "COMPUTE_END",
    "REQUEST_END", "HTTP_SEND_START", "HTTP_SEND_END",
)  # fmt: skip


def lines(names: tuple[str, ...], request: int = 1) -> list[dict[str, Any]]:
    """A line a moment, as Triton 2.51 writes them, and the one that names the model."""
    stamps = [{"id": request, "timestamps": [{"name": n, "ns": 1000 * i + request}]}
              for i, n in enumerate(names, 1)]  # fmt: skip
    return [*stamps[:2], {"id": request, "model_name": "m", "model_version": 1}, *stamps[2:]]


class Server(ThreadingHTTPServer):
    """Takes trace settings; writes its file when it is told to stop tracing."""

    daemon_threads = True

    def __init__(self, file: Path, status: int = 200, text: str | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.file, self.status, self.asked = file, status, list[tuple[str, Any]]()
        self.text = text if text is not None else json.dumps(lines(HTTP))


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, body))
        if body["trace_level"] == ["OFF"]:
            self.server.file.with_name("trace.3").write_text(self.server.text)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with Server(tmp_path / "trace") as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


def traced(
    server: Server, marks: int = 2, expected: float = 3 * WANTED
) -> tuple[tuple[int, ...], ...]:
    address = f"127.0.0.1:{server.server_address[1]}"
    with Tracer(address, "a b", server.file, lambda: expected) as tracer:
        for _ in range(marks):
            tracer.mark()
        return tracer.finish()


def test_the_trace_is_on_between_the_marks_for_every_so_manieth_request(server: Server) -> None:
    assert traced(server) == ((1001, 2001, 4001, 5001, 6001, 7001, 8001, 11001, 12001),)
    assert [path for path, _ in server.asked] == ["/v2/models/a%20b/trace/setting"] * 2
    on, off = (body for _, body in server.asked)
    assert (on["trace_level"], on["trace_rate"]) == (["TIMESTAMPS"], "3")
    assert off["trace_level"] == ["OFF"]
    assert on["log_frequency"] == off["log_frequency"] != "0", "0 keeps the file open"
    assert not list(server.file.parent.iterdir()), "nothing is left in the logs"


def test_few_requests_are_traced_all(server: Server) -> None:
    traced(server, expected=0.2)
    assert server.asked[0][1]["trace_rate"] == "1"


def test_a_server_that_does_not_trace_costs_no_measurement(server: Server) -> None:
    server.status = 404
    assert traced(server) == () and len(server.asked) == 1
    server.server_close()
    assert traced(server) == ()


def test_a_window_that_never_began_asks_nothing(server: Server) -> None:
    assert traced(server, marks=0) == () and server.asked == []


def test_a_file_that_is_no_json_is_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.triton.counters.trace.PATIENCE_S", 0.05)
    server.text = '[{"id": 1'
    assert traced(server) == ()


def test_of_grpc_reading_and_sending_are_a_moment_each() -> None:
    names = tuple(n for n in HTTP if not n.startswith("HTTP"))
    grpc = ("GRPC_WAITREAD_START", "GRPC_WAITREAD_END", *names, "GRPC_SEND_START", "GRPC_SEND_END")
    ((first, second, *_, begun, ended),) = stages(lines(grpc))
    assert first == second == 2001 and begun == ended == 11001


def test_a_request_without_all_stages_is_left_out() -> None:
    ensemble = tuple(n for n in HTTP if not n.startswith("COMPUTE"))
    found = stages([*lines(ensemble, 1), *lines(HTTP, 2)])
    assert len(found) == 1 and len(found[0]) == len(STAGES) and found[0][0] == 1002
