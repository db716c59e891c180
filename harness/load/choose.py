"""The seam of load generation: anything that can keep requests flowing and record them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from harness.backends.base import Backend
from harness.load.generator import Generator
from harness.load.plan import LoadPlan


def make_generator(
    backend: Backend, requests: Sequence[object], plan: LoadPlan, *, request_timeout: float,
    wire: bool = False,
) -> Generator:  # fmt: skip
    """The generator for one point: threads, or for Triton's wire client event loops."""
    from harness.load.closed import ClosedLoop
    from harness.load.open import OpenLoop

    if wire:
        from harness.load.wire.generator import for_backend
        from harness.triton.client.backend import TritonBackend

        return for_backend(
            cast(TritonBackend, backend), requests,
            concurrency=plan.concurrency, schedule=plan.schedule,
            request_timeout=request_timeout, max_outstanding=plan.max_outstanding,
            shed=plan.shed, processes=plan.processes,
        )  # fmt: skip
    if plan.schedule is not None:
        return OpenLoop(
            backend, requests, plan.schedule, max_outstanding=plan.max_outstanding,
            request_timeout=request_timeout, shed=plan.shed,
        )  # fmt: skip
    if plan.concurrency is None:
        raise ValueError("a load needs a concurrency or a schedule")
    return ClosedLoop(backend, requests, plan.concurrency, request_timeout)
