"""A backend whose requests pass through stages of set lengths, as on a GPU, and that times them.

The host puts one request at a time on its stream; the copy engines, one a direction, and the
computing engine each take one request at a time. Kernels run while the next ones are enqueued, so
computing goes on for as long as it takes beyond that: a GPU that waits for its host waits between
kernels, and does others' meanwhile.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from harness.backends.base import Backend, Caller, LoadCost
from harness.backends.timing import Timing
from harness.models.tensors import Signature, Tensors

STAGES = ("enqueue", "h2d", "compute", "d2h")


def spin(until_ns: int) -> None:
    """Wait, to the microsecond, and let others have the interpreter."""
    if (left := until_ns - time.monotonic_ns() - 300_000) > 0:
        time.sleep(left / 1e9)
    while time.monotonic_ns() < until_ns:
        time.sleep(0)


class Staged(Backend[object, object]):
    """`ms`: how long each of `STAGES` takes."""

    def __init__(self, ms: Mapping[str, float]) -> None:
        self.ns = {stage: round(ms.get(stage, 0.0) * 1e6) for stage in STAGES}
        self.engines = {stage: threading.Lock() for stage in STAGES}
        self.timing = Timing()

    @property
    def signature(self) -> Signature:
        return Signature((), ())

    def load(self) -> LoadCost:
        return LoadCost(0.0)

    def prepare(self, inputs: Tensors) -> object:
        return inputs

    def caller(self) -> Caller:
        return StagedCaller(self)

    def statistics(self) -> dict[str, float]:
        return self.timing.counters()

    @contextmanager
    def stage(self, name: str, less_ns: int = 0) -> Iterator[None]:
        """Have an engine to oneself, as long as the stage takes."""
        with self.engines[name]:
            spin(time.monotonic_ns() + max(0, self.ns[name] - less_ns))
            yield


class StagedCaller(Caller[object, object]):
    def __init__(self, backend: Staged) -> None:
        self._backend = backend

    def infer(self, request: object) -> object:
        stage, clock = self._backend.stage, time.monotonic_ns
        moments = [clock()]
        with stage("h2d"):
            pass
        moments.append(clock())
        with stage("enqueue"):
            enqueue = clock() - moments[-1]
        with stage("compute", self._backend.ns["enqueue"]):
            pass
        moments.append(clock())
        with stage("d2h"):
            pass
        moments.append(clock())
        h2d, compute, d2h = map(float, np.diff(moments))
        self._backend.timing.add(h2d, compute, d2h, float(enqueue))
        return request

    def outputs(self, reply: object) -> Tensors:
        return {}
