"""Whether to end early: a threshold that can't hold any more, or a queue that only grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness.swarm import shapes
from harness.swarm.settings import Stress

LOOKS = 24
"""Reports (two a second) over which open requests and latency must keep growing."""
GROWN = 3.0
"""And by how many times."""
TAU = 0.8
"""Kendall's τ of each with time: of 24 values without trend, above this once in 10^7."""


class Watcher:
    """Takes in each progress report and says why to end, if so."""

    def __init__(self, stress: Stress, seed: int) -> None:
        self._stress, self._shape = stress, stress.shape.chosen
        self._due = len(shapes.schedule(stress, seed))
        self._open: list[float] = []
        self._latency: list[float] = []
        limits = stress.thresholds
        self._limited = bool(limits.error_rate or limits.latency_p99_ms)
        overall = [limit.max for limit in limits.error_rate or () if limit.during is None]
        self._most = min(overall, default=None)
        """Share of all requests that may fail."""

    def look(self, told: Mapping[str, float | None], disturbed: bool) -> str:
        """Why the load should end now; empty if it should not.

        `disturbed` says that a fault is going on or just was: what grows then may come down again.
        """
        if not self._stress.abort:
            return ""
        failures = told["failures"] or 0
        if self._most is not None and self._due and failures > self._most * self._due:
            return (f"error_rate can't hold any more: {failures:.0f} of {self._due:,} requests "
                    f"have failed already, at most {self._most:.2%} may")  # fmt: skip
        if disturbed or not self._limited or self._falls_after(told["t"] or 0.0):
            self._open, self._latency = [], []
            return ""
        self._open.append((told["open"] or 0) + (told["waiting"] or 0))
        self._latency.append(np.inf if told["p50_ms"] is None else float(told["p50_ms"]))
        self._open, self._latency = self._open[-LOOKS:], self._latency[-LOOKS:]
        if not told["waiting"] or not (grows(self._open) and grows(self._latency)):
            return ""
        waits = f"open requests grew from {self._open[0]:.0f} to {self._open[-1]:.0f}"
        late = f"the median latency from {self._latency[0]:.0f} to {self._latency[-1]:.0f} ms"
        return f"hopeless: {waits} and {late}, and the load gets no lighter"

    def _falls_after(self, t: float) -> bool:
        """Whether the load gets lighter later: then a queue may come down by itself."""
        end = shapes.duration(self._shape)
        now = shapes.level(self._shape, t)
        later = (shapes.level(self._shape, x) for x in np.linspace(t, end, 50).tolist())
        return any(v < now for v in later) or t >= end


def grows(values: Sequence[float]) -> bool:
    """Whether they rise all along: Kendall's τ with time, and several-fold from end to end."""
    if len(values) < LOOKS:
        return False
    x = np.asarray(values)
    signs = np.sign(x[None, :] - x[:, None])[np.triu_indices(len(x), 1)]
    return bool(np.nanmean(signs) > TAU and x[-1] > GROWN * max(x[0], 1e-9))
