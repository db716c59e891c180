"""Bytes become answers, however they are cut."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.http2_peer import STATUS, TRAILERS, WHOLE, answer, give, parts, sent

from harness.load.wire import http2
from harness.load.wire.http1 import ProtocolError
from harness.load.wire.incoming import FRAME_WE_TAKE, REFILL
from harness.results.samples import ERROR, TIMEOUT


@pytest.mark.parametrize("step", [1, 2, 7, 9, 40, 1000])
def test_answers_are_understood_however_they_are_cut(step):
    p = parts()
    p.owner.wanted = [True, False, True, False]
    p.streams.slots.update({1: 0, 3: 1, 5: 2, 7: 3})
    data = b"".join(answer(s, b"message %d" % s) for s in (1, 3, 5, 7))
    for at in range(0, len(data), step):
        give(p.incoming, data[at : at + step])
    assert p.owner.log == [
        ("keep", 0, b"message 1"), ("done", 0), ("done", 1),
        ("keep", 2, b"message 5"), ("done", 2), ("done", 3),
    ]  # fmt: skip


def test_equal_answers_are_recognised_and_an_unequal_one_is_read_all_the_same():
    p = parts()
    p.owner.wanted[1] = True
    p.streams.slots.update({s: s % 2 + (s == 99) for s in (1, 3, 5, 7, 9)})
    for stream in (1, 3, 5):
        give(p.incoming, answer(stream))
    assert p.incoming._usual is not None
    give(p.incoming, answer(7, b"longer than the others") + answer(9, b"abcde"))
    assert [entry for entry in p.owner.log if entry[0] == "done"] == [("done", 1)] * 5
    kept = [entry[2] for entry in p.owner.log if entry[0] == "keep"]
    assert kept == [b"hello"] * 3 + [b"longer than the others", b"abcde"]


@given(st.lists(st.tuples(st.integers(0, 150), st.binary(max_size=4)), min_size=1, max_size=4))
def test_whatever_comes_ends_in_answers_or_a_protocol_error(changes):
    p = parts()
    p.streams.slots.update({1: 0, 3: 1, 5: 2})
    data = http2.settings({http2.MAX_FRAME: 1 << 15}) + answer(1) + answer(3) + answer(5)
    for at, new in changes:
        data = data[:at] + new + data[at + len(new) // 2 :]
    with contextlib.suppress(ProtocolError):
        give(p.incoming, data)
    assert len(p.owner.log) <= 3


def test_headers_in_pieces_without_an_end_are_refused():
    p = parts()
    give(p.incoming, http2.frame(http2.HEADERS, 0, 1, STATUS))
    with pytest.raises(ProtocolError, match="headers without an end"):
        for _ in range(100):
            give(p.incoming, http2.frame(http2.CONTINUATION, 0, 1, bytes(1 << 14)))


def test_a_compressed_message_is_named():
    p = parts()
    p.streams.slots[1] = 0
    give(p.incoming, answer(1).replace(b"\0\0\0\0\5hello", b"\1\0\0\0\5hello"))
    assert p.owner.log == [("failed", 0, ERROR, "a compressed answer, not asked for")]


def test_a_data_frame_larger_than_the_buffer_is_taken_in_pieces():
    p = parts()
    p.owner.wanted[0] = True
    p.streams.slots[1] = 0
    message = bytes(range(256)) * 3000
    data = answer(1, message)
    at = 0
    while at < len(data):
        size = min(len(p.incoming.room()), len(data) - at)
        give(p.incoming, data[at : at + size])
        at += size
    assert p.owner.log == [("keep", 0, message), ("done", 0)]


def test_a_header_block_in_pieces_is_one_and_nothing_may_come_between():
    p = parts()
    p.streams.slots[1] = 0
    cut = len(TRAILERS) // 2
    begin = http2.frame(http2.HEADERS, http2.END_STREAM, 1, TRAILERS[:cut])
    give(p.incoming, answer(1)[: -(http2.HEAD + len(TRAILERS))] + begin)
    assert p.owner.log == []
    rest = http2.frame(http2.CONTINUATION, http2.END_HEADERS, 1, TRAILERS[cut:])
    give(p.incoming, rest)
    assert p.owner.log == [("done", 0)]
    others = http2.frame(http2.CONTINUATION, 0, 3, b"x"), http2.frame(http2.DATA, 0, 1, b"x")
    for between in (http2.frame(http2.PING, 0, 0, bytes(8)), answer(3), *others):
        q = parts()
        with pytest.raises(ProtocolError, match="interrupted"):
            give(q.incoming, begin + between)


def test_padding_is_no_part_of_the_message_but_counts_against_the_window():
    p = parts()
    p.owner.wanted[0] = True
    p.streams.slots[1] = 0
    padded = bytes([4]) + b"\0\0\0\0\5hello" + bytes(4)
    give(p.incoming, http2.frame(http2.HEADERS, http2.END_HEADERS, 1, STATUS)
         + http2.frame(http2.DATA, http2.PADDED, 1, padded)
         + http2.frame(http2.HEADERS, WHOLE, 1, TRAILERS))  # fmt: skip
    assert p.owner.log == [("keep", 0, b"hello"), ("done", 0)]
    assert p.incoming._used == len(padded)


def test_the_receive_window_is_given_back_in_large_steps():
    p = parts()
    p.incoming._used = REFILL - 10
    p.streams.slots.update({1: 0, 3: 0})
    give(p.incoming, answer(1))
    assert sent(p.outgoing) == []
    give(p.incoming, answer(3))
    (frame,) = sent(p.outgoing)
    assert frame == (http2.WINDOW_UPDATE, 0, 0, (REFILL + 10).to_bytes(4, "big"))


@pytest.mark.parametrize(("trailers", "status", "words"), [
    ([(b"grpc-status", b"5"), (b"grpc-message", b"100%25 no")], ERROR, "gRPC status 5: 100% no"),
    ([(b"grpc-status", b"4")], TIMEOUT, "gRPC status 4: "),
    ([(b":status", b"503")], ERROR, "no gRPC status (HTTP 503)"),
])  # fmt: skip
def test_a_bad_status_is_the_slots_failure(trailers, status, words):
    p = parts()
    p.streams.slots[1] = 2
    block = b"".join(http2.literal(*field) for field in trailers)
    give(p.incoming, http2.frame(http2.HEADERS, WHOLE, 1, block))
    assert p.owner.log == [("failed", 2, status, words)]


def test_a_stream_that_ends_with_its_data_has_no_trailers():
    p = parts()
    p.streams.slots[1] = 0
    give(p.incoming, http2.frame(http2.DATA, http2.END_STREAM, 1, b"\0\0\0\0\0"))
    assert p.owner.log == [("failed", 0, ERROR, "the stream ended without trailers")]


@pytest.mark.parametrize(("data", "words"), [
    (b"", "closed the connection"),
    (http2.frame(http2.CONTINUATION, 0, 1, b""), "CONTINUATION of nothing"),
    (http2.FRAME.pack((FRAME_WE_TAKE + 1) << 8 | http2.PING, 0, 0), "a frame of 65537 bytes"),
    (http2.frame(http2.DATA, http2.PADDED, 1, bytes([9]) + bytes(4)), "more padding than frame"),
])  # fmt: skip
def test_what_the_protocol_forbids(data, words):
    with pytest.raises(ProtocolError, match=words):
        give(parts().incoming, data)
