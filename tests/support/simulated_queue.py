"""A single server with a fixed service time, simulated: the samples that a load on it would leave.

Departures by Lindley's recursion, D(n) = max(A(n), D(n−1)) + s, for all requests at once: with
E(n) = D(n) − n·s it reads E(n) = max(A(n) − (n−1)·s, E(n−1)), a running maximum.
"""

from __future__ import annotations

import numpy as np

from harness.load.schedule import Segment, make_schedule
from harness.measure.window import Window
from harness.results.samples import OK, UNFINISHED, Samples
from harness.run.point_row import Conditions, measurement_row
from harness.scenario.points import Point

WARMUP_NS = 1_000_000_000


def departures(arrivals, service_ns):
    n = np.arange(len(arrivals))
    return np.maximum.accumulate(arrivals - n * service_ns) + (n + 1) * service_ns


def samples_of(scheduled, done, sent=None, status=None):
    order = np.argsort(done, kind="stable")
    count = len(done)
    return Samples(
        scheduled[order], (scheduled if sent is None else sent)[order], done[order],
        np.full(count, OK, np.uint8) if status is None else status[order].astype(np.uint8),
        np.zeros(count, np.uint16),
    )  # fmt: skip


def open_loop(rate, service_ms, seconds, *, seed=0, arrivals="poisson"):
    """Samples of an open loop that is stopped after warm-up and window; (samples, window)."""
    length = WARMUP_NS / 1e9 + seconds
    schedule = make_schedule([Segment(rate, rate, length)], arrivals, seed=seed)
    done = departures(schedule, round(service_ms * 1e6))
    stopped = WARMUP_NS + round(seconds * 1e9)
    status = np.where(done > stopped, UNFINISHED, OK)
    return samples_of(schedule, done, status=status), Window(WARMUP_NS, stopped, False)


def closed_loop(service_ms, seconds):
    service = round(service_ms * 1e6)
    done = np.arange(1, round((1 + seconds) * 1e9) // service, dtype=np.int64) * service
    return samples_of(done - service, done), Window(
        WARMUP_NS, WARMUP_NS + round(seconds * 1e9), False
    )


def measure(point: Point, round_: int, service_ms: float, seconds: float, *, seed: int):
    """(row, samples) of a point against the simulated server, through the real reduction."""
    if point.concurrency is not None:
        samples, window = closed_loop(service_ms, seconds)
    else:
        samples, window = open_loop(point.request_rate, service_ms, seconds, seed=seed)
    conditions = Conditions(True)
    return (
        measurement_row(point, round_, "", window, samples, {}, "", conditions), samples,
    )  # fmt: skip
