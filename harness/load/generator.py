"""The seam of load generation: anything that can keep requests flowing and record them.

A generator starts, is left running through warm-up and window, and stops; it knows nothing of
windows. Everything since the start comes back as `Samples`, so a window can be cut afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness.backends.base import Backend
from harness.load.samples import Int64, Samples
from harness.load.schedule import Segment, make_schedule, read_trace


class Generator(Protocol):
    """Keeps requests flowing from `start` to `stop`."""

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early: no further request will come."""
        ...

    def start(self) -> None:
        """Begin; returns when every caller is ready and requests flow. Raises what they raise."""
        ...

    def completed(self) -> int:
        """Requests that have finished so far; cheap enough to poll."""
        ...

    def recent_ns(self) -> Int64:
        """Latencies of the latest few thousand requests, for the live display."""
        ...

    def sampled(self) -> Sequence[tuple[int, Any]]:
        """Outputs of some requests, each with the request's index; after `stop`.

        Tensors, or raw response bytes that `harness.load.wire.requests` decodes.
        """
        ...

    def stop(self, timeout: float) -> Samples:
        """Send nothing more, wait for what is open, return every sample since `start`.

        Raises DeadlineError when a request is still open after `timeout` seconds.
        """
        ...


@dataclass(frozen=True, slots=True)
class Asked:
    """The load of one point: a closed loop, or an open loop with its schedule."""

    concurrency: int | None = None
    schedule: Int64 | None = None
    """ns after the start, shape (requests,); see `harness.load.schedule`."""
    max_outstanding: int = 256
    shed: bool = False

    @property
    def pause(self) -> float:
        """Seconds of the longest stretch in which nothing is due."""
        if self.schedule is None:
            return 0.0
        return float(np.diff(self.schedule, prepend=0).max()) / 1e9

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Asked:
        """Make the schedule that the orchestrator describes: segments or a trace."""
        if data.get("concurrency") is not None:
            return cls(concurrency=data["concurrency"])
        if data.get("trace") is not None:
            times = read_trace(Path(data["trace"]))
        else:
            times = make_schedule(
                [Segment(*s) for s in data["segments"]], data["arrivals"], seed=data["seed"],
                cv=data["cv"],
            )  # fmt: skip
        return cls(None, times, data["max_outstanding"], data["shed"])


def make_generator(
    backend: Backend, requests: Sequence[Any], asked: Asked, *, request_timeout: float,
    processes: int = 1, wire: bool = False,
) -> Generator:  # fmt: skip
    """The generator for one point: threads, or for Triton's wire client event loops."""
    from harness.load.closed import ClosedLoop
    from harness.load.open import OpenLoop

    if wire:
        from harness.load.wire.generator import for_backend

        return for_backend(
            backend, requests, concurrency=asked.concurrency, schedule=asked.schedule,
            request_timeout=request_timeout, max_outstanding=asked.max_outstanding,
            shed=asked.shed, processes=processes,
        )  # fmt: skip
    if asked.schedule is not None:
        return OpenLoop(
            backend, requests, asked.schedule, max_outstanding=asked.max_outstanding,
            request_timeout=request_timeout, shed=asked.shed,
        )  # fmt: skip
    if asked.concurrency is None:
        raise ValueError("a load needs a concurrency or a schedule")
    return ClosedLoop(backend, requests, asked.concurrency, request_timeout)
