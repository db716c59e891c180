"""Open-loop arrivals among Locust's users: each is handed to the user that was idle last.

Locust's users ask for work, so a rate made of them is a closed loop: a slow server slows it down.
Here the moments are made beforehand (`harness.swarm.shapes.schedule`) and never move. Where no
user is idle, an arrival waits and its response time still counts from when it was due, or it is
shed and counted.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

import gevent
from gevent.event import AsyncResult

from harness.results.samples import SHED, UNFINISHED
from harness.swarm.alarm import Alarm, until
from harness.swarm.recorder import Times

Record = Callable[[Times, str], None]


class ClosedError(Exception):
    """There is no more work."""


class Arrivals:
    """One process's part of the schedule. `run` is a greenlet's; users call `take` and `done`."""

    def __init__(self, due: Sequence[int], record: Record, *, shed: bool = False) -> None:
        self._due, self._record, self._shed = due, record, shed
        self._idle: list[AsyncResult[int]] = []
        self._backlog: deque[int] = deque()
        self._closed = False
        self.open = 0
        """Requests that are with the server."""

    @property
    def waiting(self) -> int:
        """Arrivals that are due and found no user."""
        return len(self._backlog)

    @property
    def drained(self) -> bool:
        """Whether all that was due has been answered, and nothing more will be."""
        return self._closed and not self._backlog and not self.open

    def run(self) -> None:
        """Hand out every arrival shortly before it is due, or when it is where no user is idle."""
        alarm = Alarm()
        for arrival, due in enumerate(self._due):
            alarm.wait(due)
            if not self._idle:
                until(due)
            if self._closed:
                break
            if self._idle:
                self.open += 1
                self._idle.pop().set(arrival)
                gevent.sleep(0)  # the user comes first
            elif self._shed:
                now = time.monotonic_ns()
                self._record(Times(due, now, now, SHED), "shed: every user was busy")
            else:
                self._backlog.append(arrival)
        alarm.close()
        self.close()

    def take(self) -> tuple[int, int]:
        """The number of an arrival and when it is due, `EARLY_NS` from now at most; waits for one.

        Raises ClosedError.
        """
        if self._backlog:
            self.open += 1
            arrival = self._backlog.popleft()
            return arrival, self._due[arrival]
        if self._closed:
            raise ClosedError
        mine: AsyncResult[int] = AsyncResult()
        self._idle.append(mine)
        try:
            arrival = mine.get()
        except BaseException:  # this user ends: none of its doing waits for work
            if mine in self._idle:
                self._idle.remove(mine)
            raise
        return arrival, self._due[arrival]

    def done(self) -> None:
        """A request that was taken is over."""
        self.open -= 1

    def close(self) -> None:
        """No arrival comes any more; idle users end, the backlog is still theirs to send."""
        self._closed = True
        for idle in self._idle:
            idle.set_exception(ClosedError())
        self._idle = []

    def give_up(self) -> None:
        """Count what was due and never sent."""
        self.close()
        now = time.monotonic_ns()
        for arrival in self._backlog:
            due = self._due[arrival]
            self._record(Times(due, now, now, UNFINISHED), "never sent: every user was busy")
        self._backlog.clear()
