"""The way in: a generator for prepared requests, in this process or spread over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from harness.load.generator import Generator
from harness.load.wire.plan import Plan, make
from harness.results.samples import Int64


def run(plan: Plan, processes: int = 1) -> Generator:
    """A generator for `plan`, in helper processes when one core is not enough."""
    if processes > 1 and plan.slots > 1:
        from harness.load.wire.processes import WireProcesses

        return WireProcesses(plan, processes)
    return make(plan)


def for_backend(
    backend: Any, requests: Sequence[Any], *, concurrency: int | None, request_timeout: float,
    schedule: Int64 | None = None, max_outstanding: int = 256, shed: bool = False,
    processes: int = 1,
) -> Generator:  # fmt: skip
    """A generator for what a Triton backend's `prepare` made: see `plan_for`."""
    if (concurrency is None) == (schedule is None):
        raise ValueError("needs either a concurrency or a schedule")
    slots = max_outstanding if concurrency is None else concurrency
    plan = plan_for(backend, requests, slots, request_timeout)
    generator = run(replace(plan, schedule=schedule, shed=shed), processes)
    if plan.pinned:
        from harness.load.wire.shared_memory import SharedLoad

        return SharedLoad(generator, backend, len(requests))
    return generator


def plan_for(
    backend: Any, requests: Sequence[Any], slots: int, request_timeout: float
) -> Plan:  # fmt: skip
    """The closed loop of `slots` callers over what a Triton backend's `prepare` made.

    Needs the backend's `spec.protocol`, `target` with `address` and `name`, and for shared memory
    its `regions` and `control`; then each slot gets an output region and requests of its own.
    """
    from harness.load.wire.requests import grpc_request, http_request

    protocol, target = backend.spec.protocol, backend.target
    messages = [(r, None) for r in requests]
    if backend.regions is not None:
        from harness.load.wire.shared_memory import messages_for

        messages = messages_for(backend, requests, slots)
    if protocol == "http":
        headers = target.access.headers
        made = tuple(
            http_request(target.address, target.name, *m, headers=headers) for m in messages
        )
    else:
        made = tuple(grpc_request(target.name, *m) for m in messages)
    pinned = backend.regions is not None
    return Plan(
        protocol, target.address, made, slots, request_timeout, pinned=pinned,
        access=target.access,
    )  # fmt: skip
