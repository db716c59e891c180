"""How long a run may still take: what is to come, each point at what it took so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from harness.results.events import Discarded, Event, SessionStarted, ToCome
from harness.results.rows import CapacityRow, FailureRow, MeasurementRow
from harness.scenario.points import Point

LATEST = 4
"""Loads that count: a server's first is followed by a measurement that is discarded."""
RATES = 9
"""Windows of a search for the capacity before one has ended."""


class TimeLeft:
    """Told every event; `clock` gives seconds. A point takes what it took, a session its load."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._took = clock, dict[str, list[float]]()
        """Seconds of each point, and by a backend's name those that its sessions take to begin."""
        self._done = set[tuple[str, int]]()
        self._to_come: ToCome | None = None
        self._session: SessionStarted | None = None
        self._begun = set[SessionStarted]()
        self._loading, self._more = False, 0.0
        self._since, self._rates = 0.0, 0
        """When the latest thing ended, and the rates that a search for a capacity had since."""

    def take(self, event: Event) -> None:
        """Heed one event."""
        match event:
            case SessionStarted():
                self._session = event
                self._begun.add(event)
                self._since, self._loading = self._clock(), True
            case Discarded() if self._session:
                self._end(self._session.backend)
            case ToCome():
                self._to_come, self._more = event, event.more
            case MeasurementRow() if "search" in event.details:
                self._rates += 1
            case MeasurementRow() | FailureRow() | CapacityRow():
                self._end(event.point)
                if self._to_come and event.point not in self._to_come.points:
                    self._more = max(0.0, self._more - 1)
                self._done.add((event.point, event.round))

    def _end(self, what: str) -> None:
        now = self._clock()
        if self._loading and self._session and what != self._session.backend:
            # its opening is not apart: it is in what its first point takes
            self._took.setdefault(self._session.backend, []).append(0.0)
        self._took.setdefault(what, []).append(now - self._since)
        self._since, self._rates, self._loading = now, 0, False

    def seconds(self) -> float | None:
        """Seconds that are left; None before anything is known."""
        if (plan := self._to_come) is None:
            return None
        left = [p for p in plan.points if (p, plan.round) not in self._done]
        known = [p for p in self._took if "/" in p]
        costs = {p: self._cost(p, plan.seconds) for p in {*plan.points, *known}}
        names = {SessionStarted(q.backend, q.config, plan.round) for q in map(Point.parse, left)}
        loads = [self._load(name.backend) for name in names - self._begun]
        now = [costs[p] for p in left]
        if self._loading and self._session:
            now = [self._load(self._session.backend), *now]
        since = self._clock() - self._since if self._since else 0.0
        rest = sum(now) + sum(loads) - min(since, sum(now[:1]))
        rest += self._more * _mean(costs.values())
        rest += plan.sessions * _mean(self._load(s.backend) for s in self._begun)
        return rest if plan.budget is None else min(rest, max(0.0, plan.budget))

    def _load(self, backend: str) -> float:
        return _mean(self._took.get(backend, [])[-LATEST:])

    def _cost(self, point: str, planned: float) -> float:
        """Seconds that a point takes: what it took, else as those like it, else as planned."""
        if known := self._took.get(point):
            return _mean(known[1:] or known)
        if (parsed := Point.parse(point)).shape == "find_capacity":
            each = (self._clock() - self._since) / self._rates if self._rates else planned
            planned = each * max(RATES, self._rates + 1)
        alike = [
            _mean(took) for other, took in self._took.items()
            if other.startswith(f"{parsed.backend}/") and Point.parse(other).shape == parsed.shape
        ]  # fmt: skip
        return _mean(alike) if alike else planned


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return sum(found) / len(found) if found else 0.0
