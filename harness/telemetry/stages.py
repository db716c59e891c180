"""GPU memory by stage: what each step of bringing a backend up adds.

baseline → context → weights → warm → load: a stage begins where the one before it ends.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.results.series import TelemetrySeries

LATE_NS = 10_000_000
"""Memory is polled every 5 ms: so late, a reading still tells what a stage left behind."""
STAGES = ("baseline", "context", "weights", "warm", "load")


@dataclass(frozen=True, slots=True)
class Stage:
    """Bytes in one stage; both are lower bounds, since memory is polled."""

    name: str
    peak: float
    """The largest reading within the stage."""
    held: float
    """The last reading of the stage: what it left behind."""


def cut(series: TelemetrySeries, ends: Sequence[tuple[str, int]]) -> list[Stage]:
    """Cut a memory series at the ends of the stages, (name, monotonic ns), in order of time.

    The first stage begins with the series. What a stage took last shows in the reading after its
    end, which counts if it comes soon and before the next stage has ended. A stage too short for
    a reading of its own has the one in force, and stages that end before the first reading are
    left out.
    """
    times, values = series.t_ns, series.value
    found = []
    begin = 0
    following = [end_ns for _, end_ns in ends[1:]]
    for (name, end_ns), next_ns in zip(ends, [*following, None], strict=True):
        end = int(np.searchsorted(times, end_ns, "right"))
        latest = end_ns + LATE_NS if next_ns is None else min(end_ns + LATE_NS, next_ns)
        if 0 < end < times.size and times[end] <= latest:
            end += 1
        if end == 0:
            continue
        part = values[begin:end] if end > begin else values[end - 1 : end]
        found.append(Stage(name, float(part.max()), float(values[end - 1])))
        begin = max(begin, end)
    return found
