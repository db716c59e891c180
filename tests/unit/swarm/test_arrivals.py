"""Open-loop arrivals among users, with gevent's own loop and no server."""

from __future__ import annotations

import time

import gevent
import gevent.event
import pytest

from harness.results.samples import SHED, UNFINISHED
from harness.swarm.alarm import EARLY_NS
from harness.swarm.arrivals import Arrivals, ClosedError
from harness.swarm.recorder import Recorder, rows_of


def serve(
    arrivals: Arrivals, served: list[tuple[int, int]], seconds: float, over: gevent.event.Event
) -> None:
    """A user that takes so long over each request, or until all arrivals have come."""
    while True:
        try:
            arrival, due = arrivals.take()
        except ClosedError:
            return
        served.append((arrival, due))
        over.wait(seconds)
        arrivals.done()


def drive(gaps_ms: list[float], users: int, seconds: float, *, shed: bool = False):
    recorder, served = Recorder(), []
    start = time.monotonic_ns() + 5_000_000
    arrivals = Arrivals([start + round(g * 1e6) for g in gaps_ms], recorder.add, shed=shed)
    over = gevent.event.Event()
    greenlets = [gevent.spawn(serve, arrivals, served, seconds, over) for _ in range(users)]
    gevent.sleep(0)
    gevent.spawn(arrivals.run).link(lambda _: over.set())
    return arrivals, greenlets, recorder, served


def test_every_arrival_is_taken_once_with_the_moment_it_was_due() -> None:
    arrivals, greenlets, recorder, served = drive([0, 1, 2, 3, 4], 2, 0.001)
    gevent.joinall(greenlets, timeout=10)
    assert sorted(a for a, _ in served) == [0, 1, 2, 3, 4]
    assert [due for _, due in sorted(served)] == sorted(due for _, due in served)
    assert arrivals.drained
    assert recorder.take() == b""


def test_an_idle_user_has_it_before_it_is_due_to_get_ready() -> None:
    start = time.monotonic_ns() + 5_000_000
    arrivals = Arrivals([start + i * 5_000_000 for i in range(20)], Recorder().add)
    early = []

    def user() -> None:
        while True:
            try:
                _, due = arrivals.take()
            except ClosedError:
                return
            early.append(due - time.monotonic_ns())
            arrivals.done()

    greenlet = gevent.spawn(user)
    gevent.sleep(0)
    gevent.spawn(arrivals.run)
    greenlet.join(10)
    assert 0 < max(early) <= EARLY_NS


def test_what_finds_no_user_is_not_shed_before_it_is_due() -> None:
    _, greenlets, recorder, _ = drive([0, 5, 10], 1, 10.0, shed=True)
    gevent.joinall(greenlets, timeout=10)
    rows = rows_of(recorder.take())
    assert len(rows) == 2
    assert (rows[:, 2] >= rows[:, 0]).all()


def test_what_finds_no_user_waits_and_keeps_its_moment() -> None:
    arrivals, greenlets, _, served = drive([0, 0, 0], 1, 0.02)
    gevent.joinall(greenlets, timeout=10)
    assert [a for a, _ in served] == [0, 1, 2]
    assert len({due for _, due in served}) == 1
    assert (arrivals.waiting, arrivals.open) == (0, 0)


def test_or_is_shed_and_counted() -> None:
    _, greenlets, recorder, served = drive([0, 0, 0], 1, 10.0, shed=True)
    gevent.joinall(greenlets, timeout=10)
    assert len(served) == 1
    rows = rows_of(recorder.take())
    assert rows[:, 3].tolist() == [SHED, SHED]
    assert recorder.kinds[1:] == ["shed: every user was busy"]


def test_what_was_never_sent_is_counted() -> None:
    recorder, served = Recorder(), []
    arrivals = Arrivals([time.monotonic_ns() + 5_000_000] * 3, recorder.add)
    user = gevent.spawn(serve, arrivals, served, 10.0, gevent.event.Event())
    gevent.sleep(0)
    arrivals.run()
    arrivals.give_up()
    assert rows_of(recorder.take())[:, 3].tolist() == [UNFINISHED, UNFINISHED]
    assert len(served) == 1
    assert not arrivals.drained  # one is with the server
    user.kill()


def test_the_user_that_was_idle_last_is_next() -> None:
    recorder, order = Recorder(), []
    arrivals = Arrivals([time.monotonic_ns() + 20_000_000], recorder.add)

    def user(name: str) -> None:
        arrivals.take()
        order.append(name)

    first, last = gevent.spawn(user, "first"), gevent.spawn(user, "last")
    gevent.sleep(0)
    gevent.spawn(arrivals.run)
    with pytest.raises(ClosedError):  # nothing is left for the other
        gevent.joinall([first, last], timeout=10, raise_error=True)
    assert order == ["last"]
