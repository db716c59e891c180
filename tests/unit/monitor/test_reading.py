"""Readings of a server that is recorded: which models, and what is said when one is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from support.paths import DATA

from harness.errors import BackendError, HarnessError, UsageError
from harness.monitor.reading import Reader
from harness.triton.client.url import parse_url

RECORDED = json.loads((DATA / "triton" / "statistics.json").read_text())["readings"]


class Recorded(BaseHTTPRequestHandler):
    """Answers every call with what a real Triton once did."""

    body = b""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    Recorded.body = json.dumps(RECORDED[-1]["http"]).encode()
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorded) as found:
        found.daemon_threads = True
        Thread(target=found.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{found.server_address[1]}"
        found.shutdown()


def test_the_counters_of_each_model(server: str) -> None:
    with Reader(parse_url(server)) as reader:
        first, second = reader.read(), reader.read()
    assert list(first.counters) == ["ident"]
    assert first.counters["ident"]["count"] == 5
    assert first.counters == second.counters
    assert first.t_ns < second.t_ns
    assert (first.pending, first.gpus, first.metrics_problem) == ({}, {}, "")


def test_a_model_that_is_not_there_is_named_with_those_that_are(server: str) -> None:
    with pytest.raises(UsageError, match="no model idnt; it has ident"):
        Reader(parse_url(server), ["idnt"]).read()


def test_a_metrics_page_that_was_asked_for_is_missed_aloud(server: str) -> None:
    url = parse_url(server)
    assert "can't be read" in Reader(url, metrics="127.0.0.1:1").read().metrics_problem
    assert "make no sense" in Reader(url, metrics=f"{url.address}/x").read().metrics_problem


@pytest.mark.parametrize("said", [b"{}", b"no JSON", b'{"model_stats": [{"name": "a",'
                                  b' "inference_count": "many"}]}'])  # fmt: skip
def test_an_answer_that_is_none_is_an_error_or_no_model(server: str, said: bytes) -> None:
    Recorded.body = said
    with Reader(parse_url(server)) as reader:
        try:
            assert reader.read().counters == {}
        except HarnessError as error:
            assert said != b"{}"
            assert isinstance(error, BackendError) == (b"many" in said)
