"""What the generator is held against; the ceiling itself is measured in the integration tests."""

import numpy as np
import pytest
from support.null_load import http_post

from harness.load.null import ceiling as module
from harness.load.null.ceiling import WARM_S, _http_answer, _rate
from harness.results.samples import ERROR, OK, Samples


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_a_request_of_that_many_bytes(size):
    head, _, body = http_post("host:1", size).partition(b"\r\n\r\n")
    assert len(body) == size and f"\r\nContent-Length: {size}\r\n".encode() in head
    assert b"\r\nHost: host:1\r\n" in head


def test_the_answer_shown_is_the_servers_with_what_is_json_of_it():
    raw = b'HTTP/1.1 200 OK\r\nInference-Header-Content-Length: 7\r\nX: y\r\n\r\n{"a":1}binary'
    assert (_http_answer(raw).body, _http_answer(raw).json_bytes) == (b'{"a":1}binary', 7)
    assert _http_answer(b"HTTP/1.1 200 OK\r\n\r\n{}").json_bytes is None


def test_the_rate_leaves_out_the_warm_up_and_failures(monkeypatch):
    """One request a millisecond, of which every fourth fails; the first after 5 s is at 0."""
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    done = np.arange(5_000, 5_301, dtype=np.int64) * 1_000_000
    status = np.where(np.arange(len(done)) % 4, OK, ERROR).astype(np.uint8)

    class Recorded:
        def start(self): ...
        def stop(self, timeout):
            return Samples(done, done, done, status, np.zeros(len(done), np.uint16))

    counted = (status[round(WARM_S * 1000) :] == OK).sum()
    assert _rate(Recorded(), 1.0) == pytest.approx(counted / (0.3 - WARM_S))
