import pytest

from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError, Response
from harness.load.wire.nullpeers import GrpcPeer, HttpPeer
from harness.load.wire.nullserver import Behaviour, Queue


def leaves(behaviour, arrivals):
    queue = Queue(behaviour)
    return [queue.leaves(1000 + at) - 1000 for at in arrivals]


def test_a_serial_server_is_a_queue():
    assert leaves(Behaviour(10, serial=True), [0, 1, 2, 50]) == [10, 20, 30, 60]


def test_a_parallel_server_only_delays():
    assert leaves(Behaviour(10), [0, 1, 50]) == [10, 11, 60]


@pytest.mark.parametrize("serial", [False, True])
def test_a_stall_holds_what_is_being_served_and_what_comes(serial):
    behaviour = Behaviour(10, serial, stall_at=100, stall=1000)
    expected = [10, 1105, 1110, 1210] if not serial else [10, 1105, 1115, 1210]
    assert leaves(behaviour, [0, 95, 500, 1200]) == expected


def test_without_behaviour_the_answer_comes_at_once():
    answered = []
    Queue(Behaviour()).put(lambda: answered.append(1))
    assert answered == [1]


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_http_requests_are_counted_however_they_are_cut(step):
    count = []
    peer = HttpPeer(lambda answer: (count.append(1), answer()), 9)
    data = b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n" + bytes(30)
    for at in range(0, len(data * 3), step):
        peer.feed(memoryview(data * 3)[at : at + step])
    assert len(count) == 3
    response = Response(keep=True)
    response.feed(peer.out[0])
    assert response.complete and bytes(response.body) == bytes(9)


def test_a_request_without_length_is_refused():
    with pytest.raises(ProtocolError):
        HttpPeer(lambda _: None, 1).feed(memoryview(b"GET / HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize("step", [1, 11, 1000])
def test_grpc_streams_are_answered_however_they_are_cut(step):
    count = []
    peer = GrpcPeer(lambda answer: (count.append(1), answer()), 20_000)
    data = http2.PREFACE + http2.settings({})
    for stream in (1, 3):
        data += http2.frame(http2.HEADERS, http2.END_HEADERS, stream, b"\x82")
        data += http2.frame(http2.DATA, 0, stream, b"\0")
        data += http2.frame(http2.DATA, http2.END_STREAM, stream, b"\0\0\0\0")
    for at in range(0, len(data), step):
        peer.feed(memoryview(data)[at : at + step])
    assert len(count) == 2
    assert sum(len(out) for out in peer.out) > 2 * 20_000


def test_what_is_not_http2_is_refused():
    with pytest.raises(ProtocolError, match="not HTTP/2"):
        GrpcPeer(lambda _: None, 1).feed(
            memoryview(b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n")
        )
