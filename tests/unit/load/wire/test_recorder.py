import numpy as np

from harness.load.wire.poller import Poller
from harness.load.wire.recorder import KEPT, KEPT_BYTES, Recorder
from harness.results.samples import ERROR, OK, TIMEOUT

BIG = bytes(20 << 20)


def add(record, sent, done, caller=0, scheduled=None):
    if scheduled is not None:
        record.scheduled.append(scheduled)
    record.sent.append(sent)
    record.callers.append(caller)
    record.which.append(sent % 7)
    record.done.append(done)


def test_rows_come_in_order_of_completion_with_their_status():
    record = Recorder(0)
    add(record, 10, 40, 1)
    record.bad(None, 5, 20, 2, ERROR, "broken", 6)
    add(record, 1, 30, 3)
    samples = record.samples(1000)
    assert samples.which.tolist() == [6, 1, 3]
    assert samples.done.tolist() == [20, 30, 40]
    assert samples.caller.tolist() == [2, 3, 1]
    assert samples.status.tolist() == [ERROR, OK, OK]
    assert samples.scheduled.tolist() == samples.sent.tolist() == [5, 1, 10]
    assert samples.messages == {"broken": 1}


def test_an_answer_past_the_time_out_is_one():
    record = Recorder(0)
    add(record, 0, 100)
    add(record, 0, 101)
    assert record.samples(100).status.tolist() == [OK, TIMEOUT]


def test_kept_responses_stay_bounded_and_even():
    record = Recorder(5)
    serial = 0
    while serial < 5000:
        record.keep(serial, serial % 7, b"x")
        serial += record.every
    kept = [serial for serial, _, _ in record.kept]
    assert KEPT // 2 <= len(kept) <= KEPT
    gaps = np.diff(kept)
    assert kept[0] == 0 and kept[-1] > 4500 and gaps.max() <= 1.2 * gaps.min()


def test_large_responses_are_bounded_by_their_bytes():
    record = Recorder(1)
    for serial in range(60):
        record.keep(serial, 0, BIG)
    assert sum(len(raw) for _, _, raw in record.kept) <= KEPT_BYTES


def test_recent_latencies_are_the_last_ones():
    record = Recorder(0)
    for i in range(3000):
        add(record, 0, i)
    assert record.recent().tolist() == list(range(3000 - 1024, 3000))


def test_the_latest_request_of_each_caller_is_known_to_be_good_or_bad():
    record = Recorder(0)
    add(record, 0, 1, 1)
    record.bad(None, 0, 2, 1, ERROR, "broken")
    record.bad(None, 0, 3, 4, ERROR, "broken")
    add(record, 0, 4, 4)
    assert record.latest() == {1: False, 4: True}


def test_a_socket_s_moments_go_with_their_request():
    poller = Poller()
    record, written = Recorder(0, poller), [0, 12]
    poller.woke = 38
    record.stamp(written, 1, 40)
    add(record, 10, 40, 1)
    assert written == [0, 0]
    record.bad(None, 5, 20, 2, ERROR, "broken")
    poller.woke, written[0] = 0, 3
    record.stamp(written, 0, 30)
    add(record, 1, 30, 0)
    samples = record.samples(1000)
    assert samples.written.tolist() == [5, 3, 12]
    assert samples.woke.tolist() == [20, 30, 38], "a read that waits itself wakes with the answer"
    poller.close()
    record = Recorder(0)
    record.stamp([7], 0, 9)
    add(record, 1, 9)
    assert record.samples(1000).written is None
