import pytest

from harness.load.null.peers import Answer, GrpcPeer, HttpPeer
from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError, Response


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_http_requests_are_counted_however_they_are_cut(step):
    count = []
    peer = HttpPeer(lambda answer: (count.append(1), answer()), Answer(bytes(9)))
    data = b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n" + bytes(30)
    for at in range(0, len(data * 3), step):
        peer.feed(memoryview(data * 3)[at : at + step])
    assert len(count) == 3
    response = Response(keep=True)
    response.feed(peer.out[0])
    assert response.complete and bytes(response.body) == bytes(9)


def test_a_request_without_length_is_refused():
    with pytest.raises(ProtocolError):
        HttpPeer(lambda _: None, Answer(b"")).feed(memoryview(b"POST / HTTP/1.1\r\n\r\n"))


@pytest.mark.parametrize("step", [1, 11, 1000])
def test_grpc_streams_are_answered_however_they_are_cut(step):
    count = []
    peer = GrpcPeer(lambda answer: (count.append(1), answer()), Answer(bytes(20_000)))
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
        GrpcPeer(lambda _: None, Answer(b"")).feed(
            memoryview(b"POST / HTTP/1.1\r\nContent-Length: 30\r\n\r\n")
        )


@pytest.mark.parametrize("step", [1, 1000])
def test_an_http_request_is_answered_when_it_is_whole_and_says_what_of_the_answer_is_json(step):
    put = []
    peer = HttpPeer(put.append, Answer(b'{"a":1}binary', 7))
    data = b"POST /v2/models/m/infer HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    for at in range(0, len(data) - 1, step):
        peer.feed(memoryview(data)[at : min(at + step, len(data) - 1)])
    assert not put, "the request is not whole"
    peer.feed(memoryview(data)[-1:])
    assert len(put) == 1 and not peer.out
    put[0]()
    assert b"Inference-Header-Content-Length: 7\r\n" in peer.out[-1]
    assert peer.out[-1].endswith(b'{"a":1}binary')


SERVICE = "/inference.GRPCInferenceService/"


def answered(peer):
    """Stream → (message, headers) of the whole answers in `peer.out`."""
    from hpack import Decoder

    decoder, found = Decoder(), {}
    data = b"".join(peer.out)
    at = 0
    while at < len(data):
        word, _flags, stream = http2.FRAME.unpack_from(data, at)
        payload = data[at + 9 : at + 9 + (word >> 8)]
        at += 9 + (word >> 8)
        message, headers = found.setdefault(stream, (bytearray(), {}))
        if word & 0xFF == http2.DATA:
            message += payload
        elif word & 0xFF == http2.HEADERS:
            headers |= dict(decoder.decode(payload))
    return {s: (bytes(m), h) for s, (m, h) in found.items() if s and "grpc-status" in h}


def call(encoder, stream, method, body=b""):
    fields = [(":method", "POST"), (":path", SERVICE + method), ("te", "trailers")]
    message = b"\0" + len(body).to_bytes(4, "big") + body
    head = http2.frame(http2.HEADERS, http2.END_HEADERS, stream, encoder.encode(fields))
    return head + http2.frame(http2.DATA, http2.END_STREAM, stream, message)


def test_a_grpc_answer_is_one_message_between_its_headers():
    from hpack import Encoder

    put, encoder = [], Encoder()
    peer = GrpcPeer(put.append, Answer(b"inferred"))
    data = http2.PREFACE + http2.settings({})
    peer.feed(memoryview(data + call(encoder, 1, "ServerLive") + call(encoder, 3, "ModelInfer")))
    assert len(put) == 2 and not answered(peer)
    for answer in put:
        answer()
    found = answered(peer)
    assert found[1] == found[3] == (b"\0\0\0\0\x08inferred", {
        ":status": "200", "content-type": "application/grpc", "grpc-status": "0",
    })  # fmt: skip


def test_answers_wait_for_room_in_the_clients_windows():
    from hpack import Encoder

    encoder, size = Encoder(), 100_000
    peer = GrpcPeer(lambda answer: answer(), Answer(bytes(size)))
    ours = {http2.INITIAL_WINDOW: 70_000}
    data = http2.PREFACE + http2.settings(ours) + call(encoder, 1, "ModelInfer")
    peer.feed(memoryview(data + call(encoder, 3, "ModelInfer")))

    def sent():
        return sum(len(out) - 9 for out in peer.out if out[3] == http2.DATA)

    assert sent() == http2.DEFAULT_WINDOW and not answered(peer)
    peer.feed(memoryview(http2.window_update(0, 1_000_000)))
    assert sent() == 2 * 70_000, "each stream has its own window"
    peer.feed(memoryview(http2.window_update(3, 100_000)))
    assert set(answered(peer)) == {3}
    peer.feed(memoryview(http2.settings({http2.INITIAL_WINDOW: 200_000})))
    found = answered(peer)
    assert {s: len(m) for s, (m, _) in found.items()} == {1: size + 5, 3: size + 5}
