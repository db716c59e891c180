"""The way in: a generator for prepared requests, in this process or spread over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from harness.load.generator import Generator
from harness.load.plan import LoadPlan
from harness.load.wire.plan import Plan, make
from harness.load.wire.requests import Message, grpc_request, http_request
from harness.load.wire.shared_memory import SharedLoad, Slotted, messages_for
from harness.triton.client.backend import TritonBackend
from harness.triton.client.shared_memory import SharedRequest


def run(plan: Plan, processes: int = 1) -> Slotted:
    """A generator for `plan`, in helper processes when one core is not enough."""
    if processes > 1 and plan.slots > 1:
        from harness.load.wire.processes import WireProcesses

        return WireProcesses(plan, processes)
    return make(plan)


def for_backend(
    backend: TritonBackend, requests: Sequence[object], load: LoadPlan, *, request_timeout: float,
    order: Sequence[int] = (),
) -> Generator:  # fmt: skip
    """A generator for what a Triton backend's `prepare` made: see `plan_for`."""
    plan = plan_for(backend, requests, load.concurrency or load.max_outstanding, request_timeout)
    plan = replace(plan, schedule=load.schedule, shed=load.shed, order=tuple(order))
    generator = run(plan, load.processes)
    if backend.regions is not None:
        shared = cast(Sequence[SharedRequest], requests)
        return SharedLoad(generator, backend.target, backend.regions.current, shared)
    return generator


def plan_for(
    backend: TritonBackend, requests: Sequence[object], slots: int, request_timeout: float
) -> Plan:  # fmt: skip
    """The closed loop of `slots` callers over what a Triton backend's `prepare` made.

    With shared memory each slot gets an output region and requests of its own.
    """
    protocol, target = backend.spec.protocol, backend.target
    messages: list[Message] = [(r, None) for r in cast(Sequence[Sequence[object]], requests)]
    if backend.regions is not None:
        messages = messages_for(backend, cast(Sequence[SharedRequest], requests), slots)
    if protocol == "http":
        headers, version = target.access.headers, target.version
        made = tuple(
            http_request(target.address, target.name, *m, headers=headers, version=version)
            for m in messages
        )
    else:
        made = tuple(grpc_request(target.name, *m, version=target.version) for m in messages)
    pinned = backend.regions is not None
    return Plan(
        protocol, target.address, made, slots, request_timeout, pinned=pinned,
        access=target.access,
    )  # fmt: skip
