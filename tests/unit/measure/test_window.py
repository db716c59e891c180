"""One measurement: warm-up, then a window cut out of a load that never pauses."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.errors import BackendError, DeadlineError, OutOfMemoryError, ServerError
from harness.load.plan import WindowSettings
from harness.measure.window import measure
from harness.results.samples import ERROR, OK, Int64, Samples

SETTINGS = WindowSettings(0.01, 5, 0.02, 10, 60.0, 5.0)


class Scripted:
    """A generator that completes `step` requests every time it is asked."""

    def __init__(self, step: int = 3, status: int = OK) -> None:
        self.failure: BaseException | None = None
        self._step, self._status, self._count = step, status, 0
        self.log: list[str] = []

    def start(self) -> None:
        self.log.append("start")

    def completed(self) -> int:
        self._count += self._step
        return self._count

    def recent_ns(self) -> Int64:
        return np.array([1_000_000], np.int64)

    def stop(self, timeout: float) -> Samples:
        self.log.append("stop")
        t = np.arange(self._count, dtype=np.int64)
        status = np.full(self._count, self._status, np.uint8)
        return Samples(t, t, t + 1, status, np.zeros(self._count, np.uint16), {"boom": self._count})


class Counters:
    """A backend with a counter that grows with every read."""

    def __init__(self) -> None:
        self.reads = 0

    def statistics(self) -> dict[str, float]:
        self.reads += 1
        return {"count": self.reads}

    def memory(self) -> dict[str, int]:
        return {"arena": 7}


def run(
    generator: Any, settings: WindowSettings = SETTINGS, report: Callable[..., None] | None = None
) -> Any:
    return measure(Counters(), generator, settings, report or (lambda *_: None))  # type: ignore[arg-type]


def test_counters_are_read_once_at_each_end_and_the_load_stops_after() -> None:
    generator = Scripted()
    window, samples = run(generator)
    assert (window.before, window.after) == ({"count": 1}, {"count": 2})
    assert window.end_ns - window.begin_ns >= 0.02 * 1e9
    assert not window.cut
    assert window.memory == {"arena": 7}
    assert generator.log == ["start", "stop"]
    assert len(samples) > 15


class Slow(Counters):
    """It takes 70 ms, and 50 ms of the processor, to read."""

    def statistics(self) -> dict[str, float]:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        time.sleep(0.02)
        return super().statistics()


def test_reading_the_counters_is_outside_of_the_window() -> None:
    window, _ = measure(Slow(), Scripted(), SETTINGS, lambda *_: None)  # type: ignore[arg-type]
    (first, began), (ended, last) = window.reads_ns
    assert (window.begin_ns, window.end_ns) == (began, ended)
    assert began - first >= 70e6 <= last - ended
    assert window.seconds >= SETTINGS.window
    assert window.cpu_seconds < 0.05


def test_a_window_that_never_gets_its_requests_is_cut() -> None:
    slow = WindowSettings(0.001, 1, 0.001, 10**9, 0.05, 5.0)
    assert run(Scripted(), slow)[0].cut


def test_nothing_finishing_is_a_deadline_error() -> None:
    with pytest.raises(DeadlineError, match=r"no request finished within 0\.01 s"):
        run(Scripted(step=0), WindowSettings(0.001, 1, 0.001, 1, 0.005, 0.01))


def test_a_fatal_failure_ends_the_point() -> None:
    generator = Scripted()
    generator.failure = OutOfMemoryError("no memory")
    with pytest.raises(OutOfMemoryError):
        run(generator)


def test_when_no_request_succeeds_the_reason_is_the_commonest_message() -> None:
    with pytest.raises(BackendError, match=r"not one of \d+ requests succeeded: boom"):
        run(Scripted(status=ERROR))


@pytest.mark.parametrize("status", [OK, ERROR])
def test_a_load_whose_point_failed_is_stopped(status: int) -> None:
    """Else it would go on under the next point; that it can't be stopped hides no reason."""

    class Failing(Counters):
        def statistics(self) -> dict[str, float]:
            raise ServerError("gone")

    class Stubborn(Scripted):
        def stop(self, timeout: float) -> Samples:
            super().stop(timeout)
            if status == ERROR:
                raise DeadlineError("still open")
            return super().stop(timeout)

    generator = Stubborn(status=status)
    with pytest.raises(ServerError, match="gone"):
        measure(Failing(), generator, SETTINGS, lambda *_: None)  # type: ignore[arg-type]
    assert "stop" in generator.log


def test_a_pause_of_the_load_is_no_hang() -> None:
    class Pausing(Scripted):
        def completed(self) -> int:
            return 0 if time.monotonic() < self.until else super().completed()

    generator = Pausing()
    generator.until = math.inf  # type: ignore[attr-defined]
    short = replace(SETTINGS, request_timeout=0.05, window_max=0.01)
    with pytest.raises(DeadlineError):
        run(generator, short)
    generator.until = time.monotonic() + 0.2  # type: ignore[attr-defined]
    window, _ = run(generator, replace(short, pause=5.0))
    assert window.end_ns > window.begin_ns


def test_helpers_cpu_time_is_the_generators() -> None:
    class Spread(Scripted):
        def __init__(self) -> None:
            super().__init__()
            self.used = 0.0

        def cpu_seconds(self) -> float:
            self.used += 1.5
            return self.used

    assert run(Spread())[0].cpu_seconds == 1.5
    assert 0 <= run(Scripted())[0].cpu_seconds < 1.5


class Late(Scripted):
    """Of 5,000 requests a second; it tells of them at once, or as of `lag_s` ago."""

    def __init__(self, lag_s: float) -> None:
        super().__init__()
        self._lag_s, self._began = lag_s, 0

    def start(self) -> None:
        self._began = time.monotonic_ns()

    def completed(self) -> int:
        behind = self._lag_s * 1e9 if self.asked_early else 0
        return int(max(0, time.monotonic_ns() - self._began - behind) // 200_000)

    @property
    def asked_early(self) -> bool:
        """In the 10 ms after the warm-up, as helpers tell of their requests every 10 ms."""
        return time.monotonic_ns() - self._began < 60_000_000

    def stop(self, timeout: float) -> Samples:
        done = self._began + np.arange(1, self.completed() + 1, dtype=np.int64) * 200_000
        n = len(done)
        return Samples(done - 1, done - 1, done, np.full(n, OK, np.uint8), np.zeros(n, np.uint16))


def test_requests_from_before_the_window_that_were_told_of_late_are_none_of_its() -> None:
    window, samples = run(Late(0.01), WindowSettings(0.05, 5, 0.01, 300, 60.0, 5.0))
    inside = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
    assert inside.sum() >= 300
