"""Where a request's time goes on a GPU, of some requests: sums over all callers of a backend.

A request is timed by CUDA events between its parts: copies in, computation, copies out. The GPU
waits at each event: with every request, 16 callers of an engine reached half of what they do
without (docs/benchmarks), so only one in `TIMED_EVERY_NS` is timed, of whichever caller.
"""

from __future__ import annotations

import threading
import time

from harness.backends.base import COUNT, COUNTERS

TIMED_EVERY_NS = 100_000_000


class Timing:
    """What was timed so far; only grows."""

    def __init__(self) -> None:
        self._lock, self._last_ns = threading.Lock(), 0
        self._sums, self._count = [0.0] * len(COUNTERS), 0

    def due(self) -> bool:
        """Whether the request that is begun now is to be timed."""
        now = time.monotonic_ns()
        due = now - self._last_ns > TIMED_EVERY_NS
        self._last_ns = now if due else self._last_ns
        return due

    def add(self, h2d: float, compute: float, d2h: float, enqueue: float) -> None:
        """One request's parts, in ns, and what putting the computation on the stream took."""
        with self._lock:
            parts = zip(self._sums, (h2d, compute, d2h, enqueue), strict=True)
            self._sums = [total + part for total, part in parts]
            self._count += 1

    def counters(self) -> dict[str, float]:
        """The sums by `COUNTERS`, and `COUNT`."""
        with self._lock:
            return {**dict(zip(COUNTERS, self._sums, strict=True)), COUNT: float(self._count)}
