"""The closed loop: who calls, what is recorded, and what happens on failures."""

import threading
import time
from typing import Any, Self

import numpy as np
import pytest

from harness.errors import BackendError, DeadlineError
from harness.load.closed import ClosedLoop
from harness.load.threads import SAMPLE_AT
from harness.results.samples import ERROR, OK, TIMEOUT, Samples


class Counting:
    """A backend whose callers note who called with what; `act` may raise or wait."""

    def __init__(self, act: Any = lambda request: request) -> None:
        self.act = act
        self.seen: list[Any] = []
        self.callers = 0
        self.open = 0
        self.most_open = 0
        self.enough = threading.Event()
        self.target = 50

    def caller(self) -> "Counting":
        self.callers += 1
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outputs(self, reply: Any) -> dict[str, Any]:
        return {"reply": reply}

    def infer(self, request: Any) -> Any:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            self.seen.append(request)
            if len(self.seen) >= self.target:
                self.enough.set()
            return self.act(request)
        finally:
            self.open -= 1


def run(backend: Any, requests: list[Any], concurrency: int, timeout: float = 30.0) -> Samples:
    loop = ClosedLoop(backend, requests, concurrency, timeout)
    loop.start()
    assert backend.enough.wait(20)
    return loop.stop(10)


def test_every_request_is_recorded_once_in_order_of_completion() -> None:
    backend = Counting()
    samples = run(backend, ["a", "b", "c"], 1)
    assert len(samples) == len(backend.seen)
    assert np.all(np.diff(samples.done) >= 0)
    assert np.all(samples.sent <= samples.done)
    assert np.array_equal(samples.scheduled, samples.sent)
    assert set(samples.status) == {OK}
    assert backend.seen[:6] == ["a", "b", "c", "a", "b", "c"]


def test_outputs_are_kept_with_the_request_they_answer() -> None:
    loop = ClosedLoop(Counting(), ["a", "b", "c"], 2, 30.0)
    loop.start()
    while loop.completed() < 30:
        threading.Event().wait(0.002)
    loop.stop(10)
    assert len(loop.sampled()) >= 1
    assert all(kept == {"reply": "abc"[which]} for which, kept in loop.sampled())


def test_concurrency_is_the_number_of_callers_and_of_open_requests() -> None:
    meet = threading.Barrier(3)
    backend = Counting(act=lambda _: meet.wait(10))
    backend.target = 30
    loop = ClosedLoop(backend, [1], 3, 30.0)
    loop.start()
    assert backend.enough.wait(20)
    loop._stopping.set()
    meet.abort()  # whoever waits alone for the others ends with an error
    samples = loop.stop(10)
    assert backend.callers == 3
    assert backend.most_open == 3
    assert set(samples.caller[samples.status == OK]) == {0, 1, 2}


def test_failures_are_samples_with_their_messages() -> None:
    def act(request: int) -> None:
        if request == 1:
            raise ValueError("one is wrong")

    backend = Counting(act)
    backend.target = 10
    samples = run(backend, [0, 1], 1)
    failed = samples.status == ERROR
    assert failed.sum() == sum(r == 1 for r in backend.seen)
    assert samples.messages == {"ValueError: one is wrong": int(failed.sum())}


def test_a_request_slower_than_the_timeout_is_a_timeout() -> None:
    backend = Counting()
    samples = run(backend, [1], 1, timeout=1e-12)
    assert set(samples.status) == {TIMEOUT}


def test_a_caller_that_cannot_be_made_is_raised_by_start() -> None:
    class Broken:
        def caller(self) -> Any:
            raise BackendError("no stream left")

    with pytest.raises(BackendError, match="no stream left"):
        ClosedLoop(Broken(), [1], 2, 30.0).start()  # type: ignore[arg-type]


def test_a_hung_request_is_a_deadline_error() -> None:
    release = threading.Event()
    backend = Counting(act=lambda _: release.wait(30))
    backend.target = 1
    loop = ClosedLoop(backend, [1], 2, 30.0)
    loop.start()
    assert backend.enough.wait(10)
    with pytest.raises(DeadlineError, match=r"still open"):
        loop.stop(0.01)
    release.set()


def test_recent_latencies_come_while_requests_flow() -> None:
    backend = Counting()
    loop = ClosedLoop(backend, [1], 2, 30.0)
    loop.start()
    assert backend.enough.wait(10)
    recent = loop.recent_ns()
    assert recent.size > 0
    assert np.all(recent >= 0)
    assert loop.completed() >= 50
    loop.stop(10)


@pytest.mark.parametrize(("requests", "concurrency"), [([], 1), ([1], 0)])
def test_nothing_to_do_is_refused(requests: list[int], concurrency: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        ClosedLoop(Counting(), requests, concurrency, 1.0)


def test_samples_survive_a_file(tmp_path: Any) -> None:
    backend = Counting()
    samples = run(backend, [1], 1)
    samples.save(tmp_path / "s.npz")
    again = Samples.load(tmp_path / "s.npz", samples.messages)
    for name in ("scheduled", "sent", "done", "status", "caller"):
        assert np.array_equal(getattr(samples, name), getattr(again, name))
    assert time.monotonic_ns() > again.done[-1]


def test_outputs_are_kept_although_the_request_to_keep_failed() -> None:
    """Each early request is one that would be kept, and fails; a later one stands in."""
    last = max(number for number in SAMPLE_AT if number < 20)
    seen = iter(range(10**9))

    def act(request: str) -> str:
        if next(seen) < last:
            raise ValueError("not yet")
        return request

    loop = ClosedLoop(Counting(act), ["a", "b", "c"], 1, 30.0)
    loop.start()
    while loop.completed() < last + 3:
        threading.Event().wait(0.002)
    loop.stop(10)
    assert loop.sampled()
    assert all(kept == {"reply": "abc"[which]} for which, kept in loop.sampled())
