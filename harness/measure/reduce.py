"""From raw samples and a window to the numbers of one measurement. Runs in the parent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.measure.quantiles import order_statistic_intervals, percentiles
from harness.results.samples import OK, Samples


@dataclass(frozen=True, slots=True)
class Reduced:
    """What the samples of one window say."""

    requests: int
    errors: int
    throughput: float
    """Inferences a second."""
    latency_mean_ms: float | None
    latency_ms: Mapping[str, float | None]
    latency_order_ms: Mapping[str, tuple[float, float] | None]


def in_window(
    samples: Samples, begin_ns: int, end_ns: int, open_loop: bool = False
) -> NDArray[np.bool_]:
    """Mask of the window's requests, shape (requests,).

    Closed loop: those that finished in it. Open loop: those that were due in it, whenever they
    finished, so that what an overloaded server never answered in time is not left out.
    """
    moment = samples.scheduled if open_loop else samples.done
    return (moment > begin_ns) & (moment <= end_ns)


def throughput(samples: Samples, begin_ns: int, end_ns: int, batch_size: int) -> float:
    """Successful inferences a second over the window.

    A request that straddles an end of the window counts by the share of its service time inside.
    Counting whole completions instead would be off by up to one request a caller, which is 5 % of
    a window of twenty requests; the shares have the same expectation without that step.
    """
    good = samples.status == OK
    sent, done = samples.sent[good], samples.done[good]
    inside = np.minimum(done, end_ns) - np.maximum(sent, begin_ns)
    service = np.maximum(done - sent, 1)
    credit = np.clip(inside / service, 0.0, 1.0)
    return float(credit.sum()) * batch_size / ((end_ns - begin_ns) / 1e9)


def reduce(
    samples: Samples, begin_ns: int, end_ns: int, batch_size: int, open_loop: bool = False
) -> Reduced:
    """The measurement's numbers over the window's requests; latency is done − scheduled."""
    mask = in_window(samples, begin_ns, end_ns, open_loop)
    latency = samples.done[mask] - samples.scheduled[mask]
    failed = samples.status[mask] != OK
    good = latency[~failed]
    return Reduced(
        requests=int(mask.sum()),
        errors=int(failed.sum()),
        throughput=throughput(samples, begin_ns, end_ns, batch_size),
        latency_mean_ms=float(good.mean()) / 1e6 if good.size else None,
        latency_ms=percentiles(latency, failed),
        latency_order_ms=order_statistic_intervals(latency, failed),
    )
