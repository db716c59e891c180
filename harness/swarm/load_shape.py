"""The scenario's shape as Locust's `LoadTestShape`: how many users there are, second by second.

Where the levels are rates, users are only the slots that arrivals are handed to: all of them are
there from the beginning, and the shape ends when what was due has been answered.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from locust import LoadTestShape

from harness.swarm import shapes
from harness.swarm.settings import Stress

SLACK_S = 2.0
"""Beyond the time-out of a request, until a load that was not drained is ended."""


class ScenarioShape(LoadTestShape):
    """Of one scenario. `begin` says when it starts; `drained` whether nothing is open any more."""

    abstract = False

    def __init__(self, stress: Stress, timeout: float, drained: Callable[[], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._shape, self._drained = stress.shape.chosen, drained
        self._slots, self._grace = stress.max_outstanding, timeout + SLACK_S
        self.by_rate = shapes.by_rate(self._shape)
        self.seconds = shapes.duration(self._shape)
        self._start_ns = 0
        self.stopped = False
        """Set to end the load early."""

    def begin(self, start_ns: int) -> None:
        """The load begins at this moment of the monotonic clock."""
        self._start_ns = start_ns

    @property
    def elapsed(self) -> float:
        """Seconds since the load began."""
        return (time.monotonic_ns() - self._start_ns) / 1e9

    def tick(self) -> tuple[int, float] | None:
        """Users, and how many may be started a second; None at the end."""
        t = self.elapsed
        if self.stopped:
            return None
        if self.by_rate:
            over = t >= self.seconds and (self._drained() or t >= self.seconds + self._grace)
            return None if over else (self._slots, float(self._slots))
        if t >= self.seconds:
            return None
        users = max(1, round(shapes.level(self._shape, max(t, 0.0))))
        return users, float(users)
