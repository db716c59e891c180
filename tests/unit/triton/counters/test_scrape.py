"""Reading a metrics page in a thread, against a real HTTP server in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from harness.system.network import Access
from harness.triton.counters.scrape import Scraper, only, same_host, split_url

PAGE = "# TYPE nv_x counter\nnv_x 1\n# TYPE nv_gpu_y gauge\nnv_gpu_y 2\n"


class Pages(ThreadingHTTPServer):
    """Serves PAGE; says how often and with which headers it was asked."""

    daemon_threads = True
    status = 200
    hangs_up = False
    """Whether it closes each connection without saying so, as a server that restarts does."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.open = threading.Event()
        self.open.set()
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.changed = threading.Condition()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.asked) >= count, 10)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        assert self.server.open.wait(10)
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE.encode())
        self.close_connection = self.server.hangs_up
        with self.server.changed:
            self.server.asked.append((self.path, dict(self.headers)))
            self.server.changed.notify_all()

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def pages() -> Iterator[Pages]:
    with Pages() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_it_reads_at_each_end_and_in_between(pages: Pages) -> None:
    with Scraper(pages.address, every=0.01) as scraper:
        pages.wait_for(1)  # the connection
        before = time.monotonic_ns()
        scraper.mark()
        pages.wait_for(5)
        scraper.mark()
        found = scraper.finish()
    assert found["problem"] == ""
    ends = [r for r in found["readings"] if r["at_end"]]
    assert [r["text"] for r in ends] == [PAGE, PAGE]
    assert found["readings"][0] == ends[0]
    assert found["readings"][-1] == ends[1]
    between = found["readings"][1:-1]
    assert len(between) >= 2
    assert {r["text"] for r in between} == {"# TYPE nv_gpu_y gauge\nnv_gpu_y 2\n"}
    times = [t for r in found["readings"] for t in (r["begin_ns"], r["end_ns"])]
    assert times == sorted(times)
    assert before < times[0]


def test_nothing_is_read_after_the_second_end(pages: Pages) -> None:
    with Scraper(pages.address, every=0.001) as scraper:
        scraper.mark()
        scraper.mark()
        pages.wait_for(3)
        scraper.finish()
        asked = len(pages.asked)
        assert scraper.finish()["readings"][-1]["at_end"]
    assert len(pages.asked) == asked


def test_the_measuring_thread_does_not_wait_for_the_page(pages: Pages) -> None:
    with Scraper(pages.address) as scraper:
        pages.wait_for(1)
        pages.open.clear()
        scraper.mark()
        scraper.mark()
        assert len(pages.asked) == 1  # both have returned, and nothing was answered yet
        pages.open.set()
        assert len(scraper.finish()["readings"]) == 2


def test_a_connection_that_was_closed_is_opened_again(pages: Pages) -> None:
    pages.hangs_up = True
    with Scraper(pages.address) as scraper:
        pages.wait_for(1)
        scraper.mark()
        pages.wait_for(2)
        scraper.mark()
        found = scraper.finish()
    assert found["problem"] == ""
    assert len(found["readings"]) == 2


def test_a_server_that_is_not_there_is_a_problem_not_an_error(pages: Pages) -> None:
    address = pages.address
    pages.server_close()
    with Scraper(address) as scraper:
        scraper.mark()
        scraper.mark()
        found = scraper.finish()
    assert "can't be read" in found["problem"]
    assert found["readings"] == []


def test_an_answer_that_is_no_page_is_a_problem(pages: Pages) -> None:
    pages.status = 404
    with Scraper(pages.address) as scraper:
        scraper.mark()
        scraper.mark()
        found = scraper.finish()
    assert found == {"readings": [], "problem": "the server's metrics: HTTP 404"}


def test_a_window_that_never_ended_has_no_second_reading(pages: Pages) -> None:
    with Scraper(pages.address) as scraper:
        scraper.mark()
        pages.wait_for(2)
        assert "both ends" in scraper.finish()["problem"]


def test_path_and_headers(pages: Pages) -> None:
    access = Access(headers=(("Authorization", "Bearer secret-token"),))
    with Scraper(f"http://{pages.address}/triton/metrics?a=b", access) as scraper:
        pages.wait_for(1)
        assert "secret-token" not in repr(scraper.finish())
    path, headers = pages.asked[0]
    assert path == "/triton/metrics?a=b"
    assert headers["Authorization"] == "Bearer secret-token"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("host:8002", (False, ("host", 8002), "/metrics")),
        ("http://host:8002", (False, ("host", 8002), "/metrics")),
        ("https://host:443/t/metrics", (True, ("host", 443), "/t/metrics")),
        ("[::1]:8002", (False, ("::1", 8002), "/metrics")),
    ],
)
def test_urls(url: str, expected: object) -> None:
    assert split_url(url) == expected


def test_credentials_go_to_their_own_host_only() -> None:
    assert same_host("https://gpu1:8002/metrics", "gpu1:8000")
    assert not same_host("gpu2:8002", "gpu1:8000")
    assert not same_host("127.0.0.1:8002", None)


def test_only_keeps_whole_lines_and_their_types() -> None:
    assert only(PAGE, ("nv_gpu_",)) == "# TYPE nv_gpu_y gauge\nnv_gpu_y 2\n"
