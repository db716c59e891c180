"""Warm up, then measure one window while requests keep flowing. Runs in the worker process."""

from __future__ import annotations

import contextlib
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from harness.backends.base import LAUNCHING, Backend
from harness.errors import BackendError, DeadlineError
from harness.load.generator import Generator
from harness.load.plan import WindowSettings
from harness.results.samples import OK, TIMEOUT, Int64, Samples

POLL_S = 0.02
PROGRESS_S = 0.5
Report = Callable[[str, int, float, Int64], None]
"""Called twice a second with phase, requests, seconds in the phase and recent latencies in ns."""


@dataclass(frozen=True, slots=True)
class Window:
    """Where the window lay, and what the counters said at both of its ends."""

    begin_ns: int
    end_ns: int
    cut: bool
    """Whether it ended at its longest allowed length, with too few requests."""
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0
    """CPU time of the load generator's process within the window."""
    memory: Mapping[str, int] = field(default_factory=dict)
    reads_ns: tuple[tuple[int, int], ...] = ()
    """When each of the two reads of the counters began and ended, monotonic ns."""

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.begin_ns) / 1e9

    @property
    def cpu_percent(self) -> float:
        """Of the load generator's process; 100 is one core."""
        return 100 * self.cpu_seconds / max(self.seconds, 1e-9)


def measure(
    backend: Backend, generator: Generator, settings: WindowSettings, report: Report,
    mark: Callable[[], None] = lambda: None,
) -> tuple[Window, Samples]:  # fmt: skip
    """Run one measurement. The load never pauses between warm-up and window.

    Server counters are read while requests flow, before the window and after it: reading them takes
    the client's processor and the server's for some milliseconds, which would be 1 % of a window of
    0.3 s, and its p99. `mark` is called when each of these reads begins, for others who read
    something then; it must return at once.
    """
    generator.start()
    try:
        warm = settings.warmup, settings.warmup_requests, max(settings.window_max, settings.warmup)
        quiet = settings.request_timeout + settings.pause
        _wait(generator, "warm-up", 0, *warm, quiet, report)
        begin = read_counters(backend, generator, mark)
        time.sleep(POLL_S)  # counts may be older than that: none is of requests before the window
        already = generator.completed()
        lengths = settings.window - POLL_S, settings.window_requests, settings.window_max - POLL_S
        cut = _wait(generator, "window", already, *lengths, quiet, report)
        window = window_between(begin, read_counters(backend, generator, mark), backend, cut)
    except DeadlineError:  # whoever asked for this ends the process
        raise
    except BaseException:  # else the load would go on under the next point
        with contextlib.suppress(Exception):
            generator.stop(settings.request_timeout + 1.0)
        raise
    samples = generator.stop(settings.request_timeout + 1.0)
    if not (samples.status == OK).any() and not (samples.status == TIMEOUT).any():
        worst = max(samples.messages, key=lambda m: samples.messages[m], default="no reason given")
        raise BackendError(f"not one of {len(samples)} requests succeeded: {worst}")
    return window, samples


def _wait(
    generator: Generator, phase: str, already: int, seconds: float, requests: int, longest: float,
    quiet: float, report: Report,
) -> bool:  # fmt: skip
    """Wait for both the time and the count; True if `longest` came first.

    Raises DeadlineError when not one request finishes within `quiet` seconds.
    """
    start = told = moved = time.monotonic()
    last = -1
    while True:
        if generator.failure is not None:
            raise generator.failure
        now = time.monotonic()
        elapsed, count = now - start, generator.completed() - already
        if elapsed >= seconds and count >= requests:
            return False
        if elapsed >= longest and count > 0:
            return True
        if count != last:
            last, moved = count, now
        elif now - moved > quiet:
            raise DeadlineError(f"no request finished within {quiet:g} s")
        if now - told >= PROGRESS_S:
            told = now
            report(phase, count, elapsed, generator.recent_ns())
        time.sleep(min(POLL_S, max(0.0005, seconds - elapsed if elapsed < seconds else POLL_S)))


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading of what only grows."""

    values: Mapping[str, float]
    """The backend's statistics, and the generator's."""
    span_ns: tuple[int, int]
    """When that reading began and ended, monotonic ns."""
    cpu_seconds: tuple[float, float]
    """By then: this process's or, of a load that is spread over helpers, the busiest helper's."""


def read_counters(
    backend: Backend, generator: Generator, mark: Callable[[], None] = lambda: None
) -> Counters:
    """Read one end of a window."""
    mark()
    first, used = time.monotonic_ns(), cpu_seconds(generator)
    values = backend.statistics()
    if (launching := getattr(generator, "launching_ns", None)) is not None:
        values = {**values, LAUNCHING: launching}
    last = time.monotonic_ns()
    return Counters(values, (first, last), (used, cpu_seconds(generator)))


def window_between(begin: Counters, end: Counters, backend: Backend, cut: bool = False) -> Window:
    """The stretch from the end of one reading to the beginning of the other."""
    return Window(
        begin.span_ns[1], end.span_ns[0], cut, begin.values, end.values,
        end.cpu_seconds[0] - begin.cpu_seconds[1], backend.memory(), (begin.span_ns, end.span_ns),
    )  # fmt: skip


def judged_from(window: Window, samples: Samples) -> int:
    """Monotonic ns from which on a window's requests show whether it began before the load was
    level: those that were open while the counters were read are slow, so it is as much later as a
    request takes in the median.
    """
    inside = (samples.done > window.begin_ns) & (samples.done <= window.end_ns)
    service = samples.done[inside] - samples.sent[inside]
    return window.begin_ns + (int(np.median(service)) if service.size else 0)


def cpu_seconds(generator: Generator) -> float:
    """CPU time of who sends: of this process, or of the busiest helper process."""
    helpers = getattr(generator, "cpu_seconds", None)
    if helpers is not None:
        return float(helpers())
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
