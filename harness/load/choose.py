"""The seam of load generation: anything that can keep requests flowing and record them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from harness.backends.base import Backend
from harness.load.generator import Generator
from harness.load.plan import LoadPlan


def make_generator(
    backend: Backend, requests: Sequence[object], plan: LoadPlan, *, request_timeout: float,
    wire: bool = False, order: Sequence[int] = (),
) -> Generator:  # fmt: skip
    """The generator for one point.

    One thread over streams where the backend has them, else a thread a caller; for Triton's wire
    client event loops. `order` says which of the requests follow one another, over and over again.
    """
    if plan.schedule is None and plan.concurrency is None:
        raise ValueError("a load needs a concurrency or a schedule")
    if wire:
        from harness.load.wire.generator import for_backend
        from harness.triton.client.backend import TritonBackend

        triton = cast(TritonBackend, backend)
        return for_backend(triton, requests, plan, request_timeout=request_timeout, order=order)
    slots = plan.concurrency or plan.max_outstanding
    if backend.streams:
        from harness.load.streams import SAMPLE_EVERY, StreamLoad, Streams

        return StreamLoad(
            Streams(backend, requests, slots), slots, request_timeout, schedule=plan.schedule,
            shed=plan.shed, sample_every=SAMPLE_EVERY, order=order,
        )  # fmt: skip
    if plan.schedule is None:
        from harness.load.closed import ClosedLoop

        return ClosedLoop(backend, requests, slots, request_timeout, order)
    from harness.load.open import OpenLoop

    return OpenLoop(
        backend, requests, plan.schedule, max_outstanding=slots, request_timeout=request_timeout,
        shed=plan.shed, order=order,
    )  # fmt: skip
