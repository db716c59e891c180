import pytest
from hpack import Encoder

from harness.load.wire import http2
from harness.load.wire.answer_layout import Usual

STATUS = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0")]
WHOLE = http2.END_HEADERS | http2.END_STREAM


def match(usual, data, at=0):
    start, stream, middle, second, prefix, end, third, trailers = usual.unpack(data, at)
    fixed = (start, middle, prefix, end, trailers)
    return stream if stream == second == third and fixed == usual.fixed else 0


class Server:
    """Encodes answers as a server with a dynamic table does; `decoder` follows it."""

    def __init__(self):
        self.encoder, self.decoder = Encoder(), http2.HeaderDecoder()

    def answer(self, stream, message=b"hello", trailers=OK, prefix=None, last=None):
        head, tail = self.encoder.encode(STATUS), self.encoder.encode(trailers)
        self.decoder.decode(head)
        self.decoder.decode(tail)
        prefix = b"\0" + len(message).to_bytes(4, "big") if prefix is None else prefix
        return (
            http2.frame(http2.HEADERS, http2.END_HEADERS, stream, head)
            + http2.frame(http2.DATA, 0, stream, prefix + message)
            + http2.frame(http2.HEADERS, WHOLE, last or stream, tail)
        )


@pytest.fixture
def server():
    server = Server()
    server.answer(1)  # fills the tables
    return server


def test_answers_that_differ_in_stream_and_message_only_are_recognised(server):
    usual = Usual.of(server.answer(3), server.decoder)
    other = server.answer(1 << 20 | 1, b"world")
    assert match(usual, bytearray(b"xx" + other), 2) == 1 << 20 | 1
    assert usual.size == len(other)
    assert other[usual.message : usual.message + usual.data - 5] == b"world"


def test_the_first_answer_is_not_remembered_since_it_fills_the_table():
    server = Server()
    assert Usual.of(server.answer(1), server.decoder) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"trailers": [("grpc-status", "13")]},
        {"prefix": b"\0\0\0\0\4"},
        {"prefix": b"\1\0\0\0\5"},
        {"prefix": b""},
        {"last": 9},
    ],
)
def test_no_other_answer_is_taken_for_the_usual_one(server, changes):
    usual = Usual.of(server.answer(3), server.decoder)
    data = bytearray(server.answer(5, **changes)).ljust(usual.size, b"\0")
    assert match(usual, data) == 0
    assert Usual.of(server.answer(7, **changes), server.decoder) is None


def test_other_frames_are_no_usual_answer(server):
    answer = server.answer(3)
    assert Usual.of(answer + http2.frame(http2.PING, 0, 0, bytes(8)), server.decoder) is None
    assert Usual.of(answer[:-1], server.decoder) is None
    assert Usual.of(answer[12:], server.decoder) is None
