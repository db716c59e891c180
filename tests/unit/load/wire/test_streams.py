"""How a stream ends, and what its slot is told."""

import pytest
from support.http2_peer import parts, sent

from harness.load.wire import http2
from harness.load.wire.streams import WHOLE, Answer
from harness.results.samples import ERROR, TIMEOUT

MESSAGE = memoryview(b"\0\0\0\0\5hello")


@pytest.mark.parametrize("wanted", [False, True])
@pytest.mark.parametrize("cut", range(1, 10))
def test_an_answer_in_two_pieces(cut, wanted):
    p = parts()
    p.owner.wanted[2] = wanted
    p.streams.slots[7] = 2
    p.streams.data(7, MESSAGE[:cut])
    p.streams.data(7, MESSAGE[cut:])
    p.streams.answered(7, 1)
    assert p.owner.log == [*([("keep", 2, b"hello")] if wanted else []), ("done", 2)]
    assert not p.streams.slots and not p.streams.answers


@pytest.mark.parametrize("data", [b"", b"\0\0\0\0", b"\0\0\0\0\5hell", b"\0\0\0\0\5hello!"])
def test_an_answer_of_another_size_is_an_error(data):
    p = parts()
    p.streams.slots[1] = 0
    p.streams.data(1, memoryview(data))
    p.streams.answered(1, 1)
    assert p.owner.log == [("failed", 0, ERROR, "the answer is not one complete message")]


def test_more_after_a_whole_message_is_an_error():
    p = parts()
    p.streams.slots[1] = 0
    p.streams.answers[1] = WHOLE
    p.streams.data(1, memoryview(b"\0\0\0\0\0"))
    p.streams.answered(1, 1)
    assert p.owner.log[0][:3] == ("failed", 0, ERROR)
    assert (WHOLE.size, WHOLE.expected) == (5, 5), "it is shared by all streams"


def test_an_answer_before_the_request_is_complete_resets_the_stream():
    p = parts(bytes(100_000))
    p.streams.slots[1] = 3
    p.outgoing.request(1, 0)
    sent(p.outgoing)
    p.streams.fail(1, "no", 1, TIMEOUT)
    assert p.owner.log == [("failed", 3, TIMEOUT, "no")] and not p.outgoing.uploads
    assert sent(p.outgoing) == [(http2.RST_STREAM, 0, 1, b"\0\0\0\x08")]


def test_a_refused_request_goes_out_again_as_often_as_the_owner_allows():
    p = parts(retries=1)
    p.streams.slots |= {1: 0, 3: 1}
    assert p.streams.refused(1) and p.streams.slots == {3: 1}
    assert not p.streams.refused(3) and p.streams.slots == {3: 1}
    assert not p.streams.refused(5), "nobody's stream"
    assert p.owner.log == [("retry", 0)]


def test_a_cancelled_slot_is_free_and_its_late_answer_nobodys():
    p = parts()
    p.streams.slots |= {1: 0, 3: 1}
    p.streams.data(3, MESSAGE[:4])
    assert p.streams.cancel(1) and not p.streams.cancel(1)
    assert p.streams.slots == {1: 0} and not p.streams.answers
    p.streams.data(3, MESSAGE[4:])
    p.streams.answered(3, 1)
    p.streams.fail(3, "late", 1)
    assert p.owner.log == []


def test_a_lost_connection_fails_all_that_is_in_flight():
    p = parts()
    p.streams.slots |= {1: 2, 3: 0}
    p.streams.lose("gone", 1)
    assert p.owner.log == [("failed", 2, ERROR, "gone"), ("failed", 0, ERROR, "gone")]
    assert not p.streams.slots


def test_bytes_are_kept_only_where_they_are_wanted():
    for wanted in (False, True):
        answer = Answer(wanted)
        answer.take(MESSAGE)
        assert answer.size == answer.expected == 10
        assert answer.body == (bytearray(MESSAGE) if wanted else None)
