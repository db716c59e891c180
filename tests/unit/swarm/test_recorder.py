"""The recorder in Locust's events, and the records of many workers as one."""

from __future__ import annotations

import time

import numpy as np

from harness.results.samples import ERROR, OK, TIMEOUT
from harness.swarm.recorder import KEY, MOST_KINDS, Recorder, Times, merge, rows_of, words


def test_our_users_say_their_own_times() -> None:
    recorder = Recorder(offset_ns=100)
    recorder.on_request(1.0, context={KEY: Times(1, 2, 3, TIMEOUT)}, exception=TimeoutError("late"))
    assert rows_of(recorder.take()).tolist() == [[101, 102, 103, TIMEOUT, 1]]
    assert recorder.kinds == ["", "late"]
    assert recorder.take() == b""


def test_of_other_users_the_response_time_is_kept_to_the_nanosecond() -> None:
    recorder = Recorder()
    before = time.monotonic_ns()
    recorder.on_request(12.345678, context={}, exception=None, request_type="GET", name="/")
    after = time.monotonic_ns()
    ((scheduled, sent, done, status, kind),) = rows_of(recorder.take()).tolist()
    assert before <= done <= after
    assert (done - sent, scheduled, status, kind) == (12_345_678, sent, OK, 0)


def test_kinds_have_an_end() -> None:
    recorder = Recorder()
    for i in range(MOST_KINDS + 50):
        recorder.add(Times(0, 0, i, ERROR), f"error {i}")
    assert len(recorder.kinds) <= MOST_KINDS + 1
    assert recorder.kinds[-1] == "other"
    assert rows_of(recorder.take())[-1, 4] == len(recorder.kinds) - 1


def test_words_are_one_line() -> None:
    assert words(ValueError("a\n  b")) == "a b"
    assert words(ValueError()) == "ValueError"


def test_a_record_that_was_cut_short_is_dropped() -> None:
    recorder = Recorder()
    recorder.add(Times(1, 2, 3, OK))
    recorder.add(Times(4, 5, 6, OK))
    assert rows_of(recorder.take()[:-3]).tolist() == [[1, 2, 3, OK, 0]]


def test_merging_keeps_every_request_in_order_of_completion_with_its_kind() -> None:
    first, second = Recorder(), Recorder()
    first.add(Times(1, 1, 30, ERROR), "b")
    first.add(Times(2, 2, 10, OK))
    second.add(Times(3, 3, 20, ERROR), "a")
    second.add(Times(4, 4, 40, ERROR), "b")
    merged = merge({0: (first.take(), first.kinds), 3: (second.take(), second.kinds)})
    assert merged.samples.done.tolist() == [10, 20, 30, 40]
    assert merged.samples.caller.tolist() == [0, 3, 0, 3]
    assert [merged.kinds[k] for k in merged.kind] == ["", "a", "b", "b"]
    assert merged.samples.messages == {"a": 1, "b": 2}


def test_merged_percentiles_are_those_of_all_requests_at_once() -> None:
    rng = np.random.default_rng(0)
    latency = rng.integers(1, 10**9, 3000)
    recorders = [Recorder() for _ in range(4)]
    for i, value in enumerate(latency.tolist()):
        recorders[i % 4].add(Times(i, i, i + value, OK))
    merged = merge({i: (r.take(), r.kinds) for i, r in enumerate(recorders)})
    found = np.sort(merged.samples.done - merged.samples.scheduled)
    assert np.array_equal(found, np.sort(latency))


def test_nothing_merges_to_nothing() -> None:
    assert len(merge({}).samples) == 0
