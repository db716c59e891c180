"""One window's way of a request, from the client's moments and the server's trace, in parts.

Both clocks are CLOCK_MONOTONIC of one machine. A traced request is laid over the client's request
that it is; its parts, with `late` and `receiving`, then add up to its latency.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from harness.measure.reduce import in_window
from harness.results.details import CLIENT, TRACED
from harness.results.samples import OK, Int64, Samples

_FEWEST = 64
"""Requests in order of their ends, among which the one that a trace belongs to is looked for."""


def request_path(
    samples: Samples, begin_ns: int, end_ns: int, traces: Sequence[Sequence[int]], *,
    open_loop: bool,
) -> dict[str, float]:  # fmt: skip
    """Mean microseconds a request of each part that is known; empty where none is.

    `CLIENT` over all of the window's requests that succeeded; `TRACED`, and then `sending`, over
    those of them that the server traced, whose rows in `traces` are
    `harness.triton.counters.trace.STAGES`; `traced` is how many, `latency` theirs. Without the wire
    client's moments its own work is in `wire_out` and `wire_in`.
    """
    good = in_window(samples, begin_ns, end_ns, open_loop) & (samples.status == OK)
    scheduled, sent, done = samples.scheduled[good], samples.sent[good], samples.done[good]
    written, woke, found = sent, done, dict[str, float]()
    if samples.written is not None and samples.woke is not None and good.any():
        written, woke = samples.written[good], samples.woke[good]
        parts = (sent - scheduled, written - sent, done - woke)
        found = {name: _mean_us(part) for name, part in zip(CLIENT, parts, strict=True)}
    if len(traces) and good.any():
        rows = np.asarray(traces, np.int64)
        mine, which = match(rows, sent, done)
        if mine.size:
            rows, sent, written, woke = rows[mine], sent[which], written[which], woke[which]
            found |= _traced(rows, sent, written, woke, own="sending" in found)
            found |= {
                "traced": float(mine.size), "latency": _mean_us(done[which] - scheduled[which])
            }  # fmt: skip
    return found


def match(rows: Int64, sent: Int64, done: Int64) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which of `rows` (shape (traces, stages)) are which requests, each request once.

    A request holds its trace: it was sent before the server had read it, and done after the server
    began to answer. Of several the shortest is taken; where requests overlap so that two could be
    exchanged, their sums are the same. `done` ascends, as samples do.
    """
    received, answering = rows[:, 1], rows[:, -2]
    taken, pairs = set[int](), list[tuple[int, int]]()
    for index in np.argsort(answering):
        first = int(np.searchsorted(done, answering[index]))
        near = np.arange(first, min(first + _FEWEST, len(done)))
        near = near[sent[near] <= received[index]]
        free = [int(i) for i in near[np.argsort(done[near] - sent[near])] if int(i) not in taken]
        if free:
            taken.add(free[0])
            pairs.append((int(index), free[0]))
    both = np.array(pairs, np.intp).reshape(-1, 2)
    return both[:, 0], both[:, 1]


def _traced(
    rows: Int64, sent: Int64, written: Int64, woke: Int64, *, own: bool
) -> dict[str, float]:
    """The parts of traced requests; `sending` too where the client's `own` moments are known.

    The server begins to read a large request while the client still writes: until both that and
    its first byte are there it is on the wire. What one side does when the other has gone on
    already holds nobody up: a client that returns late from its write, a server from its own.
    """
    begun, received, *between, answered = rows.T
    written, answered = np.minimum(written, received), np.minimum(answered, woke)
    arrived = np.minimum(np.maximum(begun, written), received)
    queued, computing, copied, computed, responded, _ = between
    moments = (
        written, arrived, received, queued, computing, copied, computed, responded, answered, woke
    )  # fmt: skip
    found = {"sending": _mean_us(written - sent)} if own else {}
    steps = zip(TRACED, pairwise(moments), strict=True)
    return found | {name: _mean_us(end - start) for name, (start, end) in steps}


def _mean_us(ns: Int64) -> float:
    return float(ns.mean()) / 1e3
