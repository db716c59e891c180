"""The way in: a generator for prepared requests, in this process or spread over several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

from harness.errors import SetupError
from harness.load.wire.grpc import WireGrpc
from harness.load.wire.http import WireHttp
from harness.load.wire.loop import WireGenerator
from harness.load.wire.transport import Transport
from harness.results.samples import Int64
from harness.system.network import PLAIN, Access

SAMPLE_EVERY = 97
"""Keep every so many responses; a prime, so that the samples walk through all requests."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One generator's work, as plain data: it can be sent to another process.

    `slots` is the concurrency of a closed loop, or the most requests outstanding of an open loop
    over `schedule` (ns from the start, ascending). `requests` are whole HTTP requests or
    serialised ModelInferRequest messages.
    """

    protocol: str
    address: str
    requests: tuple[bytes, ...]
    slots: int
    request_timeout: float
    schedule: Int64 | None = None
    shed: bool = False
    """With no slot free, drop a request that is due; otherwise it waits."""
    sample_every: int = SAMPLE_EVERY
    pinned: bool = False
    """Each slot has messages of its own, shared with no other (for shared memory): those of the
    first request for all slots, then those of the second."""
    access: Access = PLAIN
    """TLS, and the headers of gRPC requests; those of HTTP are in `requests` already."""
    order: tuple[int, ...] = ()
    """Indices of the requests as they are sent, over and over again; empty: all in turn."""


class Order(NamedTuple):
    """What a helper process is told first: which part of the load it is, and where results go."""

    part: int
    directory: str
    plan: Plan
    secrets: Sequence[tuple[str, str]]
    """What is to be redacted there, with its placeholder: see `harness.system.credentials`."""


class Rest(NamedTuple):
    """What a helper process found besides its samples: see `WireGenerator`."""

    messages: dict[str, int]
    sampled: list[tuple[int, bytes]]
    last: list[int]
    """Empty for a plan that is not pinned."""

    @classmethod
    def read(cls, content: object) -> Rest:
        """From its JSON: the messages are pairs, since any text may be one."""
        messages, sampled, last = cast(tuple[list[Any], list[Any], list[int]], content)
        return cls(dict(messages), [(index, raw) for index, raw in sampled], last)


def make(plan: Plan) -> WireGenerator:
    """The plan's generator in this process. Raises SetupError for an address with a scheme."""
    if "://" in plan.address:
        raise SetupError(
            f"the wire client takes host:port, not {plan.address}", fix="for TLS: server: {tls: {}}"
        )
    transport: Transport
    if plan.protocol == "http":
        transport = WireHttp(plan.address, plan.requests, plan.slots, plan.access.tls)
    else:
        transport = WireGrpc(plan.address, plan.requests, plan.slots, plan.access)
    return WireGenerator(
        transport, plan.slots, plan.request_timeout, schedule=plan.schedule, shed=plan.shed,
        sample_every=plan.sample_every, pinned=plan.pinned, order=plan.order,
    )  # fmt: skip


def split(plan: Plan, processes: int) -> list[Plan]:
    """The plan dealt out: slots in near-equal parts, every so-manieth arrival of the schedule.

    With `pinned` a part gets the messages of its own slots. Each begins at another place of the
    order, as far from the others as it can be.
    """
    processes = min(processes, plan.slots)
    parts, first = [], 0
    order = plan.order or tuple(range(len(plan.requests) // (plan.slots if plan.pinned else 1)))
    for i in range(processes):
        slots = plan.slots // processes + (i < plan.slots % processes)
        schedule = None if plan.schedule is None else plan.schedule[i::processes].copy()
        requests, shift = plan.requests, i * len(order) // processes
        if plan.pinned:
            mine = (plan.requests[at + first : at + first + slots]
                    for at in range(0, len(plan.requests), plan.slots))  # fmt: skip
            requests = tuple(request for some in mine for request in some)
        turned = order[shift:] + order[:shift]
        parts.append(replace(
            plan, slots=slots, schedule=schedule, requests=requests, order=turned
        ))  # fmt: skip
        first += slots
    return parts
