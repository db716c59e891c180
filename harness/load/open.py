"""Open loop for in-process backends: a schedule, a pool of callers, and no mercy for lateness.

Each caller thread takes the next arrival of the schedule, waits until it is due and sends it.
While a caller is free this is an ideal open loop. When all are busy an arrival is late: its *slip*
(sent − scheduled) grows, and its response time still counts from the scheduled moment; or, with
`shed`, it is dropped and counted. The number of callers is the most that can be outstanding.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Sequence

import numpy as np

from harness.backends.base import Backend, Caller
from harness.load.closed import NEVER
from harness.load.threads import SAMPLE_AT, ThreadLoad
from harness.results.samples import OK, SHED, UNFINISHED, Int64, Samples

SPIN_NS = 200_000
"""Sleep until this long before an arrival is due, then spin."""
LEAD_NS = 20_000_000
"""From the release of the callers to the schedule's zero: time for the first to get ready."""
SHED_NS = 1_000_000
"""An arrival taken this late found every caller busy: with `shed` it is dropped."""


class OpenLoop(ThreadLoad):
    """Threads over one shared schedule."""

    def __init__(
        self, backend: Backend, requests: Sequence[object], schedule: Int64, *,
        max_outstanding: int, request_timeout: float, shed: bool = False,
        order: Sequence[int] = (),
    ) -> None:  # fmt: skip
        if not len(schedule):
            raise ValueError("needs at least one arrival")
        super().__init__(backend, requests, max_outstanding, request_timeout, order)
        self._taken = [array("q") for _ in self._records]
        self._schedule = np.asarray(schedule, np.int64)
        self._due: list[int] = []
        self._shed = shed
        self._stopped = NEVER
        self._arrivals = iter(range(len(schedule)))  # its next is atomic under the interpreter lock

    def _release(self) -> None:
        """Fix the schedule to the clock, once."""
        self._due = (self._schedule + (time.monotonic_ns() + LEAD_NS)).tolist()

    def _loop(self, index: int, caller: Caller) -> None:
        infer = caller.infer
        clock, take, due = time.monotonic_ns, self._arrivals.__next__, self._due
        requests, count = self._requests, len(self._requests)
        extend, note = self._records[index].extend, self._taken[index].append
        while clock() < self._stopped + self._timeout_ns:
            try:
                arrival = take()
            except StopIteration:
                return
            scheduled, taken = due[arrival], clock()
            if scheduled > self._stopped:
                return
            if self._shed and taken - scheduled > SHED_NS:
                note(arrival)
                extend((scheduled, taken, taken, SHED))
                continue
            if not self._wait_until(scheduled):
                return
            note(arrival)
            sent = clock()
            try:
                reply = infer(requests[arrival % count])
            except Exception as error:
                self._fail(index, scheduled, sent, error)
            else:
                extend((scheduled, sent, clock(), OK))
                if arrival + 1 in SAMPLE_AT:
                    self._kept.append((self._order[arrival % count], caller.outputs(reply)))

    def _places(self, index: int, rows: int) -> Int64:
        return np.array(self._taken[index][:rows], np.int64)

    def _wait_until(self, due: int) -> bool:
        """Sleep, then spin; False when the load was stopped meanwhile."""
        left = due - SPIN_NS - time.monotonic_ns()
        if left > 0:
            self._stopping.wait(left / 1e9)
        while time.monotonic_ns() < due <= self._stopped:
            time.sleep(0)  # lets the other callers have the interpreter
        return due <= self._stopped

    def stop(self, timeout: float) -> Samples:
        """Send what was due by now and nothing more, finish it, return all as it was completed.

        A request that is sent late in that time has its own time-out after `timeout` seconds.
        """
        self._stopped = stopped = time.monotonic_ns()
        self._finish(timeout + self._timeout_ns / 1e9)
        return self._samples(self._never_sent(stopped))

    def _never_sent(self, stopped: int) -> Int64:
        """Arrivals that were due before the end and found no caller in all of the time-out."""
        due = [self._due[a] for a in self._arrivals]
        late = np.array([moment for moment in due if moment <= stopped], np.int64)
        at = np.full_like(late, stopped + self._timeout_ns)
        return np.stack([late, at, at, np.full_like(late, UNFINISHED)], axis=1)
