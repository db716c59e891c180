"""How long a run may still take: what is to come, each point at what it took so far."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from harness.results.events import Discarded, Event, PointStarted, SessionStarted, ToCome
from harness.results.rows import CapacityRow, FailureRow, MeasurementRow
from harness.scenario.points import Point

LATEST = 4
"""Loads that count."""
FACTOR, MARGIN = 1.5, 0.1
"""How far one number may be from the truth; what measuring may take more or less than so far."""
RATES = 9
"""Windows of a search for the capacity before one has ended."""


Seconds = defaultdict[str, list[float]]


class TimeLeft:
    """Told every event; `clock` gives seconds. A point takes what it took, a session its load."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._took, self._loads = clock, Seconds(list), Seconds(list)
        """Seconds of each point, and of each backend's loads."""
        self._done = set[tuple[str, int]]()
        self._to_come: ToCome | None = None
        self._session: SessionStarted | None = None
        self._begun = set[SessionStarted]()
        self._loading = self._fresh = False
        """Whether the session loads, and begins with a measurement that is discarded, as the first
        of a backend and a round does."""
        self._since, self._rates = 0.0, 0
        """When the latest thing ended, and the rates that a search for a capacity had since."""

    def take(self, event: Event) -> None:
        """Heed one event."""
        match event:
            case SessionStarted():
                same = (s for s in self._begun if s.round == event.round)
                self._fresh = all(session.backend != event.backend for session in same)
                self._session = event
                self._begun.add(event)
                self._since, self._loading = self._clock(), True
            case PointStarted() | Discarded() if self._loading and self._session:
                if isinstance(event, Discarded) or not self._fresh:
                    self._loading = False
                    self._end(self._loads[self._session.backend])
            case ToCome():
                self._to_come = event
            case MeasurementRow() if "search" in event.details:
                self._rates += 1
            case MeasurementRow() | FailureRow() | CapacityRow():
                self._loading = False
                self._end(self._took[event.point])
                self._done.add((event.point, event.round))

    def _end(self, of: list[float]) -> None:
        of.append(self._clock() - self._since)
        self._since, self._rates = self._clock(), 0

    def seconds(self) -> tuple[float, float] | None:
        """Seconds that are left, at least and at most; both are the same where that one number is
        within `FACTOR` of either. None before anything is known.
        """
        if (plan := self._to_come) is None:
            return None
        left = [p for p in plan.points if (p, plan.round) not in self._done]
        costs = {p: self._cost(p, plan.seconds) for p in {*plan.points, *self._took}}
        names = {SessionStarted(q.backend, q.config, plan.round) for q in map(Point.parse, left)}
        now = [costs[p] for p in left]
        if self._loading and self._session:
            now = [self._load(self._session.backend), *now]
        since = self._clock() - self._since if self._since else 0.0
        rest = sum(now) - min(since, sum(now[:1]))
        rest += sum(self._load(session.backend) for session in names - self._begun)
        each, load = _mean(costs.values()), _mean(self._load(s.backend) for s in self._begun)
        most = math.inf if plan.budget is None else max(0.0, plan.budget)
        ends = plan.fewest, plan.most
        low, high = (min(most, rest + n * each + sessions * load) for n, sessions in ends)
        if high * (1 + MARGIN) <= FACTOR**2 * low * (1 - MARGIN):
            return (middle := math.sqrt(low * high)), middle
        return low * (1 - MARGIN), high * (1 + MARGIN)

    def _load(self, backend: str) -> float:
        return _mean(self._loads[backend][-LATEST:])

    def _cost(self, point: str, planned: float) -> float:
        """Seconds that a point takes: what it took, else as those like it, else as planned."""
        if known := self._took.get(point, []):
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
