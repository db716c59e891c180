import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.load.wire import http1
from harness.load.wire.http1 import ProtocolError, Response, parse_head

BODY = json.dumps({"error": "no such model"}).encode()
PLAIN = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    b"5;name=value\r\nhello\r\nB\r\n, \r\nworld\r\n\r\n0\r\nTrailer: x\r\n\r\n"
)


def feed(data, cuts, keep=True):
    response = Response(keep)
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if end > begin:
            assert not response.complete
            response.feed(memoryview(data)[begin:end])
    return response


def cuts_of(data):
    return st.lists(st.integers(0, len(data)), max_size=6).map(sorted)


@given(cuts_of(PLAIN))
def test_a_response_is_the_same_however_it_is_cut(cuts):
    response = feed(PLAIN, cuts)
    assert response.complete
    assert response.head.status == 400
    assert response.message() == "HTTP 400: no such model"
    assert not response.rest


@given(cuts_of(CHUNKED))
def test_chunks_are_joined_however_they_are_cut(cuts):
    response = feed(CHUNKED, cuts)
    assert response.complete
    assert bytes(response.body) == b"hello, \r\nworld\r\n"
    assert not response.rest


def test_a_body_is_stored_only_when_wanted_or_an_error():
    ok = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert bytes(feed(ok, [], keep=False).body) == b""
    assert bytes(feed(ok, [40], keep=True).body) == b"hello"
    assert bytes(feed(PLAIN, [], keep=False).body) == BODY


def test_interim_answers_are_passed_over():
    response = feed(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", [10, 25])
    assert response.complete and response.head.status == 204


def test_bytes_past_the_end_are_told():
    response = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1", [])
    assert response.complete and response.rest == b"HTTP/1.1"


def test_a_body_without_length_ends_with_the_connection():
    response = feed(b"HTTP/1.0 200 OK\r\n\r\nsome", [])
    assert not response.complete and response.head.close
    response.end()
    assert response.complete and bytes(response.body) == b"some"


def test_a_connection_that_ends_too_early_is_an_error():
    with pytest.raises(ProtocolError, match="before its answer was complete"):
        feed(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", []).end()


@pytest.mark.parametrize(
    ("head", "words"),
    [
        (b"SSH-2.0-OpenSSH_9", "not an HTTP response"),
        (b"HTTP/1.1 2x0 OK", "not an HTTP response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1", "Content-Length"),
    ],
)
def test_nonsense_is_refused(head, words):
    with pytest.raises(ProtocolError, match=words):
        parse_head(head)


@given(
    st.sampled_from([PLAIN, CHUNKED]),
    st.lists(st.tuples(st.integers(0, 120), st.binary(max_size=4)), min_size=1, max_size=4),
)  # fmt: skip
def test_whatever_comes_ends_in_an_answer_or_a_protocol_error(data, changes):
    for at, new in changes:
        data = data[:at] + new + data[at + len(new) // 2 :]
    response = Response(True)
    with contextlib.suppress(ProtocolError):
        response.feed(data)
        response.end()
    assert len(response.body) + len(response.rest) <= len(data)


@pytest.mark.parametrize("size", [b"-5", b"+5", b"0x5", b"5_0", b" ", b"9" * 5000])
def test_a_chunk_size_is_hexadecimal_digits(size):
    with pytest.raises(ProtocolError, match="chunk size"):
        feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\n", [])


def test_a_body_too_large_to_keep_is_read_and_not_kept(monkeypatch):
    monkeypatch.setattr(http1, "KEPT_BYTES", 10)
    response = feed(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + bytes(20), [])
    assert response.complete and not response.keep and not response.body


def test_a_chunk_size_that_is_none_is_refused():
    with pytest.raises(ProtocolError, match="chunk size"):
        feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", [])


def test_headers_without_an_end_are_refused():
    with pytest.raises(ProtocolError, match="without an end"):
        feed(b"HTTP/1.1 200 OK\r\n" + b"x" * 100_000, [])


@pytest.mark.parametrize(
    ("first", "header", "close"),
    [
        ("HTTP/1.1 200 OK", "X: y", False),
        ("HTTP/1.1 200 OK", "Connection: Close", True),
        ("HTTP/1.0 200 OK", "X: y", True),
        ("HTTP/1.0 200 OK", "connection: keep-alive", False),
    ],
)
def test_when_the_connection_ends(first, header, close):
    assert parse_head(f"{first}\r\n{header}".encode()).close is close
