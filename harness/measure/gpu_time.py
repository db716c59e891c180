"""Where a request's time goes on the GPU, from CUDA events, and whether the host held it back.

Backends that can time the GPU put these counters into `statistics()`; all only grow. `count` is
the number of requests that were timed, which may be a part of all of them.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.backends.base import COUNT, COUNTERS, LAUNCHING
from harness.results.details import GpuTimes

HOST_BOUND_SHARE = 0.8
"""Enqueueing never takes much longer than the GPU's own time, because gaps between kernels, in
which the GPU waits for the host, lie inside the events. trtexec warns from the same share on."""


def split(after: Mapping[str, float], before: Mapping[str, float]) -> GpuTimes | None:
    """What the counters grew by, per timed request; None when nothing was timed in between."""
    count = after.get(COUNT, 0.0) - before.get(COUNT, 0.0)
    if count <= 0:
        return None
    means = ((after[name] - before.get(name, 0.0)) / count / 1e3 for name in COUNTERS)
    h2d, compute, d2h, enqueue = means
    return GpuTimes(
        h2d_us=h2d, compute_us=compute, d2h_us=d2h, enqueue_us=enqueue, count=int(count)
    )  # fmt: skip


def launching(
    after: Mapping[str, float], before: Mapping[str, float], seconds: float
) -> float | None:
    """Share of its time that the one thread of all callers spent beginning requests.

    None for callers in threads of their own.
    """
    if LAUNCHING not in after:
        return None
    return (after[LAUNCHING] - before.get(LAUNCHING, 0.0)) / (seconds * 1e9)
