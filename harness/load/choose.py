"""The seam of load generation: anything that can keep requests flowing and record them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from harness.backends.base import Backend
from harness.load.generator import Generator
from harness.load.plan import LoadPlan


def make_generator(
    backend: Backend, requests: Sequence[object], asked: LoadPlan, *, request_timeout: float,
    processes: int = 1, wire: bool = False,
) -> Generator:  # fmt: skip
    """The generator for one point: threads, or for Triton's wire client event loops."""
    from harness.load.closed import ClosedLoop
    from harness.load.open import OpenLoop

    if wire:
        from harness.load.wire.generator import for_backend
        from harness.load.wire.shared_memory import TritonBackend

        return for_backend(
            cast(TritonBackend, backend), requests,
            concurrency=asked.concurrency, schedule=asked.schedule,
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
