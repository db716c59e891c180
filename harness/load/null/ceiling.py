"""How fast the generator itself is: the load against a server that does nothing.

The null server is written in Python too and shares the machine, so what is found is a lower bound
of what the generator can do.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

from harness.backends.base import Backend
from harness.errors import BackendError
from harness.load.closed import ClosedLoop
from harness.load.generator import Generator
from harness.load.null.peers import Answer
from harness.load.null.server import running
from harness.load.wire.generator import plan_for, run
from harness.load.wire.plan import Plan, make
from harness.results.samples import OK
from harness.triton.client.backend import TritonBackend

WARM_S = 0.1
SECONDS = 0.2
WAIT_S = 10.0


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What a generator reaches against a null server."""

    requests_per_s: float
    response_bytes: int
    """Size of the answer's body; it is one that the real server gave."""


def backend_ceiling(
    backend: TritonBackend, requests: Sequence[object], slots: int, *, processes: int, wire: bool,
    order: Sequence[int] = (), seconds: float = SECONDS,
) -> Ceiling:  # fmt: skip
    """What the generator of a Triton backend reaches with the point's own requests.

    The null server gives the very answer that the real one gives to the first request, so the
    official client reads a real answer too. Raises what one request to the real server raises,
    WorkerDiedError, ServerDiedError.
    """
    plan = plan_for(backend, requests, slots, WAIT_S)
    plan = replace(plan, sample_every=0, order=tuple(order))
    answer = _recorded(plan)
    with running(plan.protocol, answer) as address:
        aimed = replace(plan, address=address)
        generator: Generator
        if wire:
            generator = run(aimed, processes)
        else:
            generator = ClosedLoop(_aimed(backend, address), requests, slots, WAIT_S, order)
        return Ceiling(_rate(generator, seconds), len(answer.body))


def _recorded(plan: Plan) -> Answer:
    """The real server's answer to the plan's first request."""
    generator = make(replace(
        plan, slots=1, requests=plan.requests[:1], sample_every=1, pinned=False, order=()
    ))  # fmt: skip
    generator.start()
    end = time.monotonic() + WAIT_S
    while not generator.completed() and generator.failure is None and time.monotonic() < end:
        time.sleep(0.001)
    samples = generator.stop(WAIT_S)
    if not generator.sampled():
        said = next(iter(samples.messages), "no answer")
        raise BackendError(f"no answer to show to the generator: {said}")
    raw = generator.sampled()[0][1]
    assert isinstance(raw, bytes)
    return Answer(raw) if plan.protocol == "grpc" else _http_answer(raw)


def _http_answer(raw: bytes) -> Answer:
    head, _, body = raw.partition(b"\r\n\r\n")
    name = b"\r\ninference-header-content-length:"
    _, found, value = head.lower().partition(name)
    return Answer(body, int(value.split(b"\r\n", 1)[0]) if found else None)


def _aimed(backend: TritonBackend, address: str) -> Backend:
    """The backend with callers that send to another server."""
    found = copy.copy(backend)
    found.target = replace(backend.target, address=address)
    return cast(Backend, found)


def _rate(generator: Generator, seconds: float) -> float:
    generator.start()
    time.sleep(WARM_S + seconds)
    samples = generator.stop(WAIT_S)
    begin = samples.done[0] + int(WARM_S * 1e9)
    counted = (samples.status == OK) & (samples.done >= begin)
    return float(counted.sum() / max(1, samples.done[-1] - begin) * 1e9)
