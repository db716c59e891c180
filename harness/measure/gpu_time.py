"""Where a request's time goes on the GPU, from CUDA events, and whether the host held it back.

Backends that can time the GPU put these counters into `statistics()`; all only grow. `count` is
the number of requests that were timed, which may be a part of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.backends.base import COUNT, COUNTERS, LAUNCHING

HOST_BOUND_SHARE = 0.8
"""Enqueueing never takes much longer than the GPU's own time, because gaps between kernels, in
which the GPU waits for the host, lie inside the events. trtexec warns from the same share on."""


@dataclass(frozen=True, slots=True)
class GpuTime:
    """Mean microseconds a request, over the requests that were timed."""

    h2d_us: float
    compute_us: float
    d2h_us: float
    enqueue_us: float
    """Host time spent putting the computation on the stream."""
    count: int

    @property
    def host_bound(self) -> bool:
        """Whether the GPU waited for the host: enqueueing took as long as computing."""
        return self.enqueue_us > HOST_BOUND_SHARE * self.compute_us


def split(after: Mapping[str, float], before: Mapping[str, float]) -> GpuTime | None:
    """What the counters grew by, per timed request; None when nothing was timed in between."""
    count = after.get(COUNT, 0.0) - before.get(COUNT, 0.0)
    if count <= 0:
        return None
    means = ((after[name] - before.get(name, 0.0)) / count / 1e3 for name in COUNTERS)
    h2d, compute, d2h, enqueue = means
    return GpuTime(h2d, compute, d2h, enqueue, int(count))


def launching(
    after: Mapping[str, float], before: Mapping[str, float], seconds: float
) -> float | None:
    """Share of its time that the one thread of all callers spent beginning requests.

    None for callers in threads of their own.
    """
    if LAUNCHING not in after:
        return None
    return (after[LAUNCHING] - before.get(LAUNCHING, 0.0)) / (seconds * 1e9)
