"""The seam between the harness and a runtime: a backend, small enough to read in a minute.

A backend is loaded once, in a worker process of its own. Each concurrent caller gets its own
`Caller` (its own stream, session binding, execution context or connection), in a thread of its own
unless the backend says that its callers are `streams`. What is not part of a request (building
tensors, serialising) happens in `prepare`, outside the clock::

    with open_backend(spec, model) as backend:
        request = backend.prepare({"input": array})
        with backend.caller() as caller:
            reply = caller.infer(request)          # timed: complete when it returns
            outputs = caller.outputs(reply)        # outside the clock: name -> numpy array

What the clock includes is the same for every backend and set by `io`: with `host`, inputs start
and outputs end in host memory (both copies are inside); with `device`, neither copy is.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
from typing_extensions import TypeVar

from harness.models.tensors import PreparedModel, Signature, Tensors

Request = TypeVar("Request", default=object)
"""What `prepare` makes of inputs; the harness only hands it on."""
Request_contra = TypeVar("Request_contra", contravariant=True, default=object)
Reply = TypeVar("Reply", default=object)
"""What `infer` returns; only the same caller's `outputs` reads it."""


@dataclass(frozen=True, slots=True)
class LoadCost:
    """What loading cost: wall seconds, bytes on disk of what was loaded, and anything else known.

    `details` holds facts for the report: versions, providers, allocator statistics, build log. A
    `note` among them, also one that the first request puts there, stands among the run's notes.
    """

    seconds: float
    bytes_on_disk: int | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    stages_ns: Mapping[str, int] = field(default_factory=dict)
    """Stage of loading (`context`, `weights`) → when it was over, on the monotonic clock."""


class Caller(Protocol[Request_contra, Reply]):
    """One concurrent caller of a backend; used by one thread at a time."""

    def infer(self, request: Request_contra) -> Reply:
        """Run one prepared request; complete when it returns. Raises on failure."""
        ...

    def outputs(self, reply: Reply) -> Tensors:
        """The reply's tensors in host memory, outside the clock."""
        ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class StreamCaller(Caller[Request_contra, Reply], Protocol):
    """A caller whose request runs by itself once it is begun, so that one thread drives many.

    It has one request at a time, and is made, used and closed by the same thread. What `begin`
    or `ready` raises has ended the request.
    """

    def warm(self, request: Request_contra) -> None:
        """Do whatever only the first such request has to wait for, outside the clock."""
        return

    def begin(self, request: Request_contra) -> None:
        """Start a request and return."""
        ...

    def ready(self) -> bool:
        """Whether it is complete; cheap, asked in a loop."""
        ...

    def finish(self) -> Reply:
        """The reply, once it is complete."""
        ...


class Backend(Protocol[Request, Reply]):
    """One way to run the model. Who inherits from it need not write what it does not have.

    It is made as `Class(settings, context)`. Who only hands requests on holds a plain `Backend`,
    whose requests and replies are objects. `__exit__` frees everything, also after a failure.
    """

    @property
    def signature(self) -> Signature:
        """Inputs and outputs; known after `load`."""
        ...

    def load(self) -> LoadCost:
        """Load (or build) the model and return what it cost.

        Raises MissingPackageError, DeviceError, ServerError, BackendError, OutOfMemoryError.
        """
        ...

    def prepare(self, inputs: Tensors) -> Request:
        """A request ready to be sent as often as wanted, by any caller, outside the clock."""
        ...

    def caller(self) -> Caller[Request, Reply]:
        """A new concurrent caller."""
        ...

    @property
    def streams(self) -> bool:
        """Whether `caller` makes `StreamCaller`s, all driven by one thread, not a thread each."""
        return False

    def contradictions(self, inputs: Tensors) -> Mapping[str, str]:
        """Output → how its type or shape is not what whoever serves the model says of it."""
        return {}

    def statistics(self) -> dict[str, float]:
        """Counters that only grow, read at both ends of a window; differences are reported.

        Triton: those of `harness.triton.counters.statistics.counters`. Most backends: empty.
        """
        return {}

    def release(self) -> None:
        """Give back what earlier points left in caches, so that the next one's memory is its own.

        Called between points, outside the clock, when no caller is open and no request held.
        """
        return

    def memory(self) -> dict[str, int]:
        """Bytes the runtime's own allocators hold, by name (`torch_reserved`, …); may be empty."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a Triton serves a model: `host:port` of both protocols, and its name there."""

    http: str | None = None
    grpc: str | None = None
    name: str = ""
    metrics: str | None = None
    """Its /metrics, `host:port` or a URL; None where they can't be read."""
    trace: Path | None = None
    """The file of its trace; None where it has none."""

    def of(self, protocol: str) -> str | None:
        """`host:port` of `http` or `grpc`."""
        return self.http if protocol == "http" else self.grpc


@dataclass(frozen=True, slots=True)
class BackendContext:
    """What a backend gets besides its own settings."""

    model: PreparedModel
    request_timeout: float = 30.0
    server: ServerAddress = field(default_factory=ServerAddress)
    """Triton only."""
    cache: Path | None = None
    batch_sizes: tuple[int, ...] = ()
    """What will be asked for: an engine is built for these."""
    begin: Callable[[str], object] = lambda _: None
    """Told `build` before an engine is built, which may take long, and `load` when it is."""


def collect() -> None:
    """Collect garbage, and return what malloc keeps for later where the C library can (glibc)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def run_once(backend: Backend[Request, Reply], inputs: Tensors) -> Tensors:
    """One request from host arrays to host arrays, for parity and first calls."""
    request = backend.prepare(inputs)
    with backend.caller() as caller:
        return {k: np.asarray(v) for k, v in caller.outputs(caller.infer(request)).items()}


COUNTERS = ("h2d_ns", "compute_ns", "d2h_ns", "enqueue_ns")
"""Sums that a backend may have in its `statistics`: what CUDA events and the clock said."""
COUNT = "gpu_timed"
"""How many requests they are of."""
LAUNCHING = "launching_ns"
"""What the one thread that drives all callers has spent beginning requests; not with threads."""
