"""Who sends when, with a transport that answers without a socket."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import DeadlineError
from harness.load.wire import loop as module
from harness.load.wire.loop import WireGenerator
from harness.load.wire.poller import TICK_S
from harness.results.samples import ERROR, OK, SHED, TIMEOUT, UNFINISHED


class Instant:
    """Answers in the next poll; `fate(serial)` may say "error", "never" or "broken"."""

    clock, pause = staticmethod(time.monotonic_ns), staticmethod(time.sleep)

    def __init__(self, slots, fate=lambda serial: "ok", count=3):
        self.sent, self.wanted, self.count = [0] * slots, [False] * slots, count
        self.fate, self.pending, self.log, self.abandoned = fate, [], [], []
        self.closed, self.poller, self.written = False, None, [0] * slots

    def open(self):
        pass

    def connect(self):
        self.connected = self.clock()

    def send(self, slot, request):
        self.sent[slot] = self.clock()
        self.log.append((slot, request))
        self.pending.append((slot, self.fate(len(self.log) - 1)))

    def flush(self):
        pass

    def poll(self, seconds):
        pending, self.pending = self.pending, []
        if not pending:
            self.pause(min(max(seconds, 0), 0.001))
        for slot, fate in pending:
            now = self.clock()
            if fate == "broken":
                raise ConnectionError("gone")
            if fate == "error":
                self.failed(slot, now, ERROR, "no")
            elif fate == "ok":
                if self.wanted[slot]:
                    self.keep(slot, b"%d" % slot)
                self.done(slot, now)

    def abandon(self, slot):
        self.abandoned.append(slot)

    def close(self):
        self.closed = True


@pytest.fixture(autouse=True)
def no_thread_is_left():
    """The next test may change the clock that all of them read."""
    yield
    for thread in threading.enumerate():
        if thread.name == "wire":
            thread.join(10)
            assert not thread.is_alive()


class Stepped:
    """A clock on which each look takes 20 µs and a sleep its length, however busy the machine."""

    def __init__(self):
        self.now, self._lock = 1, threading.Lock()

    def __call__(self):
        return self.sleep(2e-5)

    def sleep(self, seconds):
        with self._lock:
            self.now += int(seconds * 1e9)
            return self.now


@contextmanager
def stepped() -> Iterator[Stepped]:
    clock = Stepped()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_clock", clock)
        patch.setattr(module, "time", SimpleNamespace(sleep=clock.sleep))
        patch.setattr(Instant, "clock", staticmethod(clock))
        patch.setattr(Instant, "pause", staticmethod(clock.sleep))
        yield clock


def run(transport, slots, count, **changes):
    generator = WireGenerator(transport, slots, changes.pop("timeout", 5.0), **changes)
    generator.start()
    deadline = time.monotonic() + 10
    while generator.completed() < count and generator.failure is None:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return generator.stop(5.0), generator


def test_requests_go_round():
    transport = Instant(2)
    samples, _ = run(transport, 2, 50)
    assert [request for _, request in transport.log[:7]] == [0, 1, 2, 0, 1, 2, 0]
    assert len(samples) == len(transport.log) and transport.closed


def test_pinned_requests_are_shared_by_no_two_slots():
    transport = Instant(3, count=6)
    run(transport, 3, 50, pinned=True)
    assert all(message % 3 == slot for slot, message in transport.log)
    sent = [message // 3 for _, message in transport.log]
    assert sent[:5] == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("pinned", [False, True])
def test_requests_are_sent_in_the_order_that_is_given_and_noted_so(pinned):
    transport = Instant(2, count=6 if pinned else 3)
    samples, _ = run(transport, 2, 50, pinned=pinned, order=(2, 0, 0))
    each = 2 if pinned else 1
    assert [message // each for _, message in transport.log][:7] == [2, 0, 0, 2, 0, 0, 2]
    assert (
        np.bincount(samples.which).tolist()
        == np.bincount([message // each for _, message in transport.log]).tolist()
    )


def test_every_so_manieth_response_is_kept():
    transport = Instant(1)
    _, generator = run(transport, 1, 30, sample_every=4)
    kept = generator._record.kept
    assert len(kept) >= 8 and kept[0][0] == 0
    assert all(request == serial % 3 for serial, request, _ in kept)
    assert max(np.diff([serial for serial, _, _ in kept])) <= generator._record.every


def test_nothing_is_kept_unless_asked():
    _, generator = run(Instant(1), 1, 30)
    assert generator.sampled() == []


def test_a_failed_request_is_counted_and_the_caller_pauses():
    samples, _ = run(Instant(1, lambda serial: "error" if serial == 2 else "ok"), 1, 20)
    assert samples.status[:4].tolist() == [OK, OK, ERROR, OK]
    assert samples.sent[3] - samples.done[2] >= 10_000_000
    assert samples.messages == {"no": 1}


def test_a_request_without_answer_times_out_and_its_slot_goes_on():
    transport = Instant(2, lambda serial: "never" if serial == 1 else "ok")
    with stepped():
        samples, _ = run(transport, 2, 4000, timeout=0.05)
    late = samples.status == TIMEOUT
    assert late.sum() == 1 and transport.abandoned == [late_caller := samples.caller[late][0]]
    assert 50e6 <= (samples.done - samples.sent)[late][0] < 55e6  # a dozen looks in each time-out
    assert (samples.status[samples.caller == late_caller] == OK).any()


def test_what_ends_the_load_is_told():
    transport = Instant(1, lambda serial: "broken" if serial == 5 else "ok")
    with pytest.raises(ConnectionError, match="gone"):
        run(transport, 1, 100)
    assert transport.closed


def test_an_open_request_at_the_stop_raises():
    generator = WireGenerator(Instant(1, lambda _: "never"), 1, 0.5)
    generator.start()
    while not generator._open:
        time.sleep(0.001)
    with pytest.raises(DeadlineError, match=r"1 request\(s\) still open 0.05 s"):
        generator.stop(0.05)


def test_a_schedule_is_kept_to_the_nanosecond():
    schedule = np.array([0, 1_000_000, 1_000_000, 5_000_000], np.int64)
    samples, _ = run(Instant(4), 4, 4, schedule=schedule)
    assert (samples.scheduled - samples.scheduled[0]).tolist() == schedule.tolist()
    assert (samples.sent >= samples.scheduled).all()


def test_late_requests_are_shed_only_when_asked():
    schedule = np.arange(10, dtype=np.int64)
    shed, _ = run(Instant(2), 2, 10, schedule=schedule, shed=True)
    assert np.bincount(shed.status, minlength=5)[[OK, SHED]].tolist() == [2, 8]
    waited, _ = run(Instant(2), 2, 10, schedule=schedule)
    assert (waited.status == OK).all()


def test_a_common_start_is_awaited():
    begin = time.monotonic_ns() + 30_000_000
    generator = WireGenerator(Instant(1), 1, 1.0)
    generator.start(begin)
    while generator.completed() < 1:
        time.sleep(0.001)
    assert generator.stop(1.0).sent[0] >= begin


def test_an_error_in_an_open_loop_frees_its_slot():
    schedule = np.arange(20, dtype=np.int64) * 100_000
    samples, _ = run(Instant(1, lambda s: "error" if s % 2 else "ok"), 1, 20, schedule=schedule)
    assert (samples.status == ERROR).sum() == 10 and len(samples) == 20


@settings(max_examples=40, deadline=None)
@given(
    gaps=st.lists(st.integers(0, 4_000_000), min_size=1, max_size=40),
    fates=st.lists(st.sampled_from(["ok", "ok", "ok", "error", "never"]), min_size=1, max_size=7),
    slots=st.integers(1, 4), shed=st.booleans(), stop_ms=st.integers(0, 150),
)  # fmt: skip
def test_all_that_was_due_by_the_stop_is_answered_failed_or_shed(gaps, fates, slots, shed, stop_ms):
    reached = threading.Event()

    class Held(Instant):
        """Goes on at `stop_ms` when the load has been stopped."""

        def poll(self, seconds):
            if clock.now >= generator._begin_at + stop_ms * 1e6:
                reached.set()
                while generator._going:
                    time.sleep(0.0001)
            super().poll(seconds)

    transport = Held(slots, lambda serial: fates[serial % len(fates)])
    schedule = np.cumsum(gaps)
    with stepped() as clock:
        generator = WireGenerator(transport, slots, 0.06, schedule=schedule, shed=shed)
        generator.start()
        while generator._thread.is_alive() and not reached.wait(0.001):
            pass
        samples = generator.stop(20.0)
    due = generator._begin_at + schedule
    due = due[due <= generator._stopped_ns]
    assert np.sort(samples.scheduled).tolist() == due.tolist()
    failed = np.isin(samples.status, (ERROR, TIMEOUT, UNFINISHED)).sum()
    answered, dropped = (samples.status == OK).sum(), (samples.status == SHED).sum()
    assert answered + failed + dropped == len(due)
    if "error" not in fates and "never" not in fates:
        assert not failed
    assert shed or not dropped
    lost = np.isin(samples.status, (TIMEOUT, UNFINISHED))
    assert ((samples.done - samples.scheduled)[lost] >= 60_000_000).all()


def test_a_schedule_begins_after_the_start_so_that_a_window_holds_its_first_request():
    began = time.monotonic_ns()
    samples, _ = run(Instant(1), 1, 1, schedule=np.zeros(1, np.int64))
    assert samples.scheduled[0] - began > 20_000_000


@pytest.mark.parametrize("schedule", [None, np.arange(6, dtype=np.int64)])
@pytest.mark.parametrize("told", [False, True])
def test_a_load_connects_at_one_moment_before_it_begins(schedule, told):
    """So do the parts of one load that several processes make: all are told the same begin."""
    transport = Instant(2)
    with stepped() as clock:
        generator = WireGenerator(transport, 2, 5.0, schedule=schedule)
        generator.start(begin := clock.now + 400_000_000 if told else 0)
        while not transport.log:
            time.sleep(0.001)
        sent = clock.now
        samples = generator.stop(5.0)
    first = samples.sent[0]
    assert 20e6 < first - transport.connected < 30e6 < sent
    assert 0 <= first - begin < 1e6 or not told


def test_what_is_due_soon_is_not_awaited_in_a_whole_tick():
    """A wait of a tick may be a blocking read, which the kernel ends some milliseconds late."""

    class Noting(Instant):
        def poll(self, seconds):
            self.waits.append((self.clock(), seconds))
            super().poll(seconds)

    transport = Noting(1)
    transport.waits = []
    schedule = np.array([0, int(2.5 * TICK_S * 1e9)], np.int64)
    with stepped():
        samples, _ = run(transport, 1, 2, schedule=schedule)
    due = samples.scheduled[1]
    far = [s for at, s in transport.waits if due - at > 2.1 * TICK_S * 1e9]
    near = [s for at, s in transport.waits if 0 < due - at < 2 * TICK_S * 1e9]
    assert TICK_S in far
    assert near
    assert max(near) < TICK_S
