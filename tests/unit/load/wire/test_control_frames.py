"""The peer's other frames: what they change, and what they may not be."""

import struct

import pytest
from support.http2_peer import parts, sent

from harness.load.wire import http2
from harness.load.wire.control_frames import Frame
from harness.load.wire.http1 import ProtocolError
from harness.results.samples import ERROR


def take(p, kind, payload=b"", flags=0, stream=0):
    p.control.take(Frame(kind, flags, stream, payload, 1))


def test_settings_come_once_the_peer_has_said_something():
    p = parts()
    take(p, http2.SETTINGS, flags=http2.ACK)
    assert not p.control.settled and sent(p.outgoing) == []
    take(p, http2.SETTINGS, struct.pack(">HI", http2.MAX_STREAMS, 7))
    assert p.control.settled and p.outgoing.limit == 7


def test_a_ping_is_answered_and_its_answer_is_not():
    p = parts()
    take(p, http2.PING, b"12345678")
    take(p, http2.PING, b"12345678", flags=http2.ACK)
    assert sent(p.outgoing) == [(http2.PING, http2.ACK, 0, b"12345678")]


def test_a_window_update_lets_a_waiting_message_go_on():
    p = parts(bytes(70_000))
    p.outgoing.request(1, 0)
    sent(p.outgoing)
    take(p, http2.WINDOW_UPDATE, struct.pack(">I", 1 << 31 | 100))  # the first bit is reserved
    take(p, http2.WINDOW_UPDATE, struct.pack(">I", 100), stream=1)
    assert [len(f[3]) for f in sent(p.outgoing)] == [100]


def test_a_reset_stream_is_one_error_with_its_reason():
    p = parts()
    p.streams.slots |= {1: 0, 3: 1}
    take(p, http2.RST_STREAM, struct.pack(">I", 11), stream=3)
    assert p.owner.log == [("failed", 1, ERROR, "the server reset the stream: ENHANCE_YOUR_CALM")]


def test_a_refused_stream_is_sent_again_but_not_for_ever():
    p = parts(retries=1)
    p.streams.slots |= {1: 0, 3: 1}
    for stream in (1, 3):
        take(p, http2.RST_STREAM, struct.pack(">I", http2.REFUSED_STREAM), stream=stream)
    assert p.owner.log == [
        ("retry", 0), ("failed", 1, ERROR, "the server reset the stream: REFUSED_STREAM"),
    ]  # fmt: skip


def test_goaway_loses_the_streams_after_the_last():
    p = parts()
    p.streams.slots |= {1: 0, 3: 1, 5: 2}
    take(p, http2.GOAWAY, struct.pack(">II", 3, 0) + b"bye")
    assert p.left == [True] and p.streams.slots == {1: 0, 3: 1}
    assert p.owner.log == [("failed", 2, ERROR, "the server goes away: NO_ERROR bye")]


@pytest.mark.parametrize(("kind", "payload", "words"), [
    (http2.SETTINGS, b"12345", "odd size"), (http2.GOAWAY, b"1234567", "short GOAWAY"),
    (http2.WINDOW_UPDATE, b"123", "short frame"), (http2.PUSH_PROMISE, b"", "pushes"),
])  # fmt: skip
def test_what_the_protocol_forbids(kind, payload, words):
    with pytest.raises(ProtocolError, match=words):
        take(parts(), kind, payload)


def test_frames_that_nobody_knows_are_ignored():
    p = parts()
    take(p, 99, b"whatever")
    take(p, http2.PRIORITY, bytes(5), stream=1)
    assert sent(p.outgoing) == [] and p.owner.log == []
