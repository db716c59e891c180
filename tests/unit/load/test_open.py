"""The open loop: absolute schedule, slip, shedding; judged by order and sums, never by speed."""

import threading
import time
from types import SimpleNamespace
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.load import open as module
from harness.load.open import OpenLoop
from harness.load.schedule import Segment, make_schedule
from harness.results.samples import ERROR, OK, SHED, UNFINISHED, Samples


class Backend:
    def __init__(self, act: Any = lambda request: None) -> None:
        self.act = act
        self.seen: list[Any] = []

    def caller(self) -> "Backend":
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def outputs(self, reply: Any) -> dict[str, Any]:
        return {}

    def infer(self, request: Any) -> Any:
        self.seen.append(request)
        return self.act(request)


def run(backend: Any, schedule: Any, callers: int = 4, **kwargs: Any) -> Samples:
    loop = OpenLoop(
        backend, list("abc"), schedule, max_outstanding=callers, request_timeout=30, **kwargs
    )
    loop.start()
    while loop.completed() < len(schedule):
        threading.Event().wait(0.005)
    return loop.stop(20)


def test_every_arrival_is_sent_once_not_before_it_is_due() -> None:
    schedule = make_schedule([Segment(2000, 2000, 0.2)], "poisson", seed=3)
    backend = Backend()
    samples = run(backend, schedule)
    assert len(samples) == len(schedule) == len(backend.seen)
    due = np.sort(samples.scheduled)
    assert np.array_equal(due - due[0], schedule - schedule[0])
    assert np.all(samples.sent >= samples.scheduled)
    assert np.all(samples.done >= samples.sent)


def test_a_stall_weighs_what_the_schedule_says() -> None:
    """With one caller a request is answered between its own call and the next one's."""
    called: list[int] = []

    def act(request: str) -> None:
        called.append(time.monotonic_ns())
        if len(called) == 1:
            time.sleep(0.3)

    schedule = make_schedule([Segment(1000, 1000, 0.5)], "poisson", seed=2)
    samples = run(Backend(act), schedule, callers=1)
    assert set(samples.status) == {OK}
    assert np.array_equal(np.diff(samples.scheduled), np.diff(schedule))
    response = samples.done - samples.scheduled
    assert np.all(response >= called - samples.scheduled)
    assert np.all(response[:-1] <= called[1:] - samples.scheduled[:-1])
    stalled = called[0] + 300_000_000 - samples.scheduled
    assert (stalled > 0).sum() > 250  # are due before its end
    assert np.all(response >= stalled)


def test_shedding_counts_what_found_every_caller_busy() -> None:
    stall = threading.Event()

    def act(request: str) -> None:
        if not stall.is_set():
            stall.wait(0.1)
            stall.set()

    schedule = make_schedule([Segment(1000, 1000, 0.2)])
    samples = run(Backend(act), schedule, callers=1, shed=True)
    assert len(samples) == 200
    assert (samples.status == SHED).sum() >= 85


def test_errors_keep_their_place() -> None:
    def act(request: str) -> None:
        if request == "b":
            raise ValueError("no b")

    samples = run(Backend(act), make_schedule([Segment(3000, 3000, 0.02)]))
    assert (samples.status == ERROR).sum() == 20
    assert samples.messages == {"ValueError: no b": 20}


@settings(max_examples=30, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 3_000_000), min_size=1, max_size=40), callers=st.integers(1, 4),
    shed=st.booleans(), stop_ms=st.integers(0, 60), service_ms=st.sampled_from([0, 1, 3]),
)  # fmt: skip
def test_all_that_was_due_by_the_stop_is_answered_failed_or_shed(
    gaps: list[int], callers: int, shed: bool, stop_ms: int, service_ms: int
) -> None:
    backend = Backend(lambda request: time.sleep(service_ms / 1000))
    schedule = np.cumsum(gaps)
    loop = OpenLoop(
        backend, ["a"], schedule, max_outstanding=callers, request_timeout=5, shed=shed
    )  # fmt: skip
    loop.start()
    time.sleep(stop_ms / 1000)
    samples = loop.stop(6)
    due = np.array(loop._due)
    due = due[due <= loop._stopped]
    assert np.sort(samples.scheduled).tolist() == due.tolist()
    assert set(samples.status) <= ({OK, SHED} if shed else {OK})


def test_what_was_due_right_after_the_stop_is_not_sent() -> None:
    loop = OpenLoop(
        Backend(lambda _: None), ["a"], np.zeros(1, np.int64), max_outstanding=1, request_timeout=1
    )  # fmt: skip
    assert loop._wait_until(time.monotonic_ns() + 100_000)
    loop._stopped = time.monotonic_ns()
    assert not loop._wait_until(loop._stopped + 100_000)


def test_what_finds_no_caller_in_all_of_the_time_out_has_failed() -> None:
    def until_it_is_over(request: str) -> None:
        while time.monotonic_ns() < loop._stopped + 200_000_000:
            time.sleep(0.005)

    schedule = np.arange(60, dtype=np.int64) * 1_000_000
    backend = Backend(until_it_is_over)
    loop = OpenLoop(backend, ["a"], schedule, max_outstanding=1, request_timeout=0.2)
    loop.start()
    while time.monotonic_ns() <= loop._due[-1]:
        time.sleep(0.005)
    samples = loop.stop(20)
    assert len(samples) == 60
    lost = samples.status == UNFINISHED
    assert lost.sum() == 60 - len(backend.seen) == 59
    assert ((samples.done - samples.scheduled)[lost] >= 200_000_000).all()


def test_stop_cuts_a_long_schedule_short() -> None:
    loop = OpenLoop(
        Backend(), ["a"], make_schedule([Segment(100, 100, 3600)]), max_outstanding=2,
        request_timeout=1,
    )  # fmt: skip
    loop.start()
    while loop.completed() < 3:
        threading.Event().wait(0.005)
    assert loop.recent_ns().size >= 3
    assert 3 <= len(loop.stop(10)) < 1000


@pytest.mark.parametrize("callers", [0, -1])
def test_nothing_to_do_is_refused(callers: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        OpenLoop(Backend(), ["a"], np.array([0]), max_outstanding=callers, request_timeout=1)  # type: ignore[arg-type]


def test_a_caller_that_wakes_late_sheds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own lateness is slip, not a sign that every caller was busy."""
    now = [0]

    def overslept(loop: OpenLoop, due: int) -> bool:
        now[0] = due + 4_000_000
        return True

    monkeypatch.setattr(OpenLoop, "_wait_until", overslept)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic_ns=lambda: now[0]))
    samples = run(Backend(), make_schedule([Segment(20, 20, 0.5)]), callers=1, shed=True)
    assert set(samples.status) == {OK}
    assert set(samples.sent - samples.scheduled) == {4_000_000}
