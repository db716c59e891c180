"""One thread over all callers: what is recorded, and that it is the same as with threads."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from harness.backends.base import Backend, StreamCaller
from harness.errors import BackendError, DeadlineError, OutOfMemoryError
from harness.load.plan import WindowSettings
from harness.load.schedule import Segment, make_schedule
from harness.load.streams import StreamLoad, Streams
from harness.measure.validity import open_requests
from harness.measure.window import measure
from harness.results.samples import ERROR, OK, SHED, TIMEOUT, UNFINISHED, Samples


class Caller(StreamCaller[object, object]):
    """Ready after `polls` questions."""

    def __init__(self, backend: Asynchronous) -> None:
        self.backend, self.thread = backend, threading.get_ident()
        self.request: object = None
        self.left = 0

    def infer(self, request: object) -> object:
        raise AssertionError("nobody waits for one request")

    def warm(self, request: object) -> None:
        self.backend.warmed.append(request)

    def begin(self, request: object) -> None:
        assert self.request is None, "one request at a time"
        assert self.thread == threading.get_ident()
        self.backend.act(request)
        self.request, self.left = request, self.backend.polls
        self.backend.seen.append(request)
        self.backend.flying += 1
        self.backend.most = max(self.backend.most, self.backend.flying)

    def ready(self) -> bool:
        self.left -= 1
        return self.left < 0

    def finish(self) -> object:
        self.backend.flying -= 1
        reply, self.request = self.request, None
        self.backend.end(reply)
        return reply

    def outputs(self, reply: object) -> dict[str, object]:
        return {"reply": np.array(reply)}

    def __exit__(self, *_: object) -> None:
        assert self.thread == threading.get_ident()
        self.backend.closed += 1


class Asynchronous(Backend):
    """Counts what its callers are asked for; `act` is called at a begin, `end` at an end."""

    streams = True

    def __init__(self, polls=3, act=lambda request: None, end=lambda request: None) -> None:
        self.polls, self.act, self.end = polls, act, end
        self.seen: list[object] = []
        self.warmed: list[object] = []
        self.flying = self.most = self.closed = 0

    def caller(self) -> Caller:
        return Caller(self)


class Timed(Asynchronous):
    """Whose callers are ready `seconds` after a begin."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def caller(self) -> Caller:
        class Clocked(Caller):
            def begin(self, request: object) -> None:
                super().begin(request)
                self.until = time.monotonic() + self.backend.seconds

            def ready(self) -> bool:
                return time.monotonic() >= self.until

        return Clocked(self)


def stream_load(backend, requests, slots: int, timeout: float, **more) -> StreamLoad:
    return StreamLoad(Streams(backend, requests, slots), slots, timeout, **more)


def run(load: StreamLoad, requests: int) -> Samples:
    load.start()
    while load.completed() < requests and load.failure is None:
        threading.Event().wait(0.002)
    return load.stop(10)


def test_all_callers_are_in_flight_at_once_and_driven_by_one_thread() -> None:
    backend = Asynchronous()
    samples = run(stream_load(backend, ["a", "b", "c"], 16, 30.0), 400)
    assert (backend.most, backend.closed) == (16, 16)
    assert backend.warmed == ["a", "b", "c"] * 16
    assert len(samples) == len(backend.seen) >= 400
    assert set(samples.status) == {OK} and set(samples.caller) == set(range(16))
    assert np.all(np.diff(samples.done) >= 0) and np.all(samples.sent <= samples.done)
    assert np.array_equal(samples.scheduled, samples.sent)
    assert backend.seen[:6] == ["a", "b", "c"] * 2


def test_a_caller_has_its_next_request_as_soon_as_its_answer() -> None:
    samples = run(stream_load(Asynchronous(), ["a"], 4, 30.0), 200)
    for slot in range(4):
        mine = samples.caller == slot
        assert np.all(samples.sent[mine][1:] >= samples.done[mine][:-1])


def test_outputs_are_kept_with_the_request_they_answer() -> None:
    load = stream_load(Asynchronous(), ["a", "b", "c"], 2, 30.0, sample_every=7)
    run(load, 60)
    assert len(load.sampled()) >= 8
    assert {which for which, _ in load.sampled()} == {0, 1, 2}
    assert all(kept["reply"] == "abc"[which] for which, kept in load.sampled())


@pytest.mark.parametrize("where", ["act", "end"])
def test_failures_are_samples_with_their_messages(where: str) -> None:
    def fail(request: object) -> None:
        if request == "b":
            raise ValueError("no b")

    backend = Asynchronous(**{where: fail})
    schedule = make_schedule([Segment(3000, 3000, 0.02)])
    samples = run(stream_load(backend, list("abc"), 4, 30.0, schedule=schedule), 60)
    assert (samples.status == ERROR).sum() == 20
    assert samples.messages == {"ValueError: no b": 20}


def test_a_caller_pauses_after_a_failure() -> None:
    def fail(request: object) -> None:
        raise BackendError("broken")

    begin = time.monotonic()
    samples = run(stream_load(Asynchronous(act=fail), ["a"], 1, 30.0), 5)
    assert time.monotonic() - begin > 0.03
    assert samples.messages["broken"] == len(samples)


def test_what_no_further_request_would_survive_ends_the_load() -> None:
    def fail(request: object) -> None:
        raise OutOfMemoryError("none left")

    load = stream_load(Asynchronous(end=fail), ["a"], 2, 30.0)
    with pytest.raises(OutOfMemoryError, match="none left"):
        run(load, 5)


def test_a_caller_that_cannot_be_made_is_raised_by_start() -> None:
    class Broken(Asynchronous):
        def caller(self) -> Caller:
            if self.most:
                raise BackendError("no stream left")
            self.most = 1
            return super().caller()

    backend = Broken()
    with pytest.raises(BackendError, match="no stream left"):
        stream_load(backend, ["a"], 2, 30.0).start()
    assert backend.closed == 1


def test_an_answer_after_the_time_out_is_one_and_one_that_never_comes_hangs() -> None:
    samples = run(stream_load(Asynchronous(), ["a"], 1, 1e-9), 10)
    assert set(samples.status) == {TIMEOUT}
    load = stream_load(Asynchronous(polls=10**12), ["a"], 2, 0.001)
    load.start()
    while len(load._transport._flying) < 2:
        threading.Event().wait(0.002)
    with pytest.raises(DeadlineError, match=r"2 request\(s\) still open"):
        load.stop(0.1)
    for caller in load._transport._callers:
        caller.left = 0
    load._thread.join(10)


def test_an_open_loop_sends_each_arrival_once_not_before_it_is_due() -> None:
    schedule = make_schedule([Segment(2000, 2000, 0.2)], "poisson", seed=3)
    backend = Asynchronous()
    samples = run(stream_load(backend, list("abc"), 4, 30.0, schedule=schedule), len(schedule))
    assert len(samples) == len(schedule) == len(backend.seen)
    due = np.sort(samples.scheduled)
    assert np.array_equal(due - due[0], schedule - schedule[0])
    assert np.all(samples.sent >= samples.scheduled)


def test_what_has_no_answer_when_an_open_loops_time_out_is_over_has_failed() -> None:
    schedule = make_schedule([Segment(1000, 1000, 0.05)])
    load = stream_load(Asynchronous(polls=10**12), ["a"], 2, 0.1, schedule=schedule)
    load.start()
    while len(load._transport._flying) < 2 or time.monotonic_ns() < load._begin_at + 60_000_000:
        threading.Event().wait(0.002)
    samples = load.stop(10)
    assert len(samples) == 50
    assert (samples.status == TIMEOUT).sum() == 2
    assert (samples.status == UNFINISHED).sum() == 48


def test_with_every_caller_busy_a_due_request_waits_or_is_shed() -> None:
    schedule = make_schedule([Segment(1000, 1000, 0.1)])
    for shed in (False, True):
        load = stream_load(Timed(0.02), ["a"], 1, 30.0, schedule=schedule, shed=shed)
        load.start()
        while load.completed() < (100 if shed else 3):
            threading.Event().wait(0.002)
        samples = load.stop(10)
        good = samples.status == OK
        slip = (samples.sent - samples.scheduled)[good]
        if shed:
            assert (samples.status == SHED).sum() >= 90 and good.sum() <= 10
        else:
            assert slip[-1] > 2 * 15e6  # the third waited for two


def test_sixteen_callers_answer_at_the_rate_of_sixteen() -> None:
    """What they would in threads, too: rate × service time is the concurrency."""
    backend = Timed(0.02)
    load = stream_load(backend, ["a"], 16, 30.0)
    settings = WindowSettings(0.0, 32, 0.3, 64, 10.0, 30.0)
    window, samples = measure(backend, load, settings, lambda *_: None)
    assert np.all(samples.done - samples.sent >= 20e6)
    assert open_requests(samples, window.begin_ns, window.end_ns) > 15
    launching = window.after["launching_ns"] - window.before["launching_ns"]
    assert 0 < launching < 0.5e9 * window.seconds
