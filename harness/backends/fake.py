"""The fake backend: answers after a settable time. Tests the harness without a model."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Iterator
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from harness.backends.base import Backend, BackendContext, Caller, LoadCost
from harness.models.tensors import Signature, Tensors, TensorSpec
from harness.scenario.rules.base import Broken
from harness.scenario.spec.backend import BackendSettings
from harness.scenario.spec.fields import BATCH, Seed

SPIN_NS = 200_000
"""Sleep up to this long before the deadline, then spin: a sleep may end that much late."""


class FakeSettings(BackendSettings):
    """A backend with a settable service time, to test the harness and to teach it."""

    sources: ClassVar = ("fake",)
    start_seconds: ClassVar = 1.0

    kind: Literal["fake"] = Field(description="which backend; the other keys depend on it")
    service_time_ms: float = Field(1.0, ge=0, le=3_600_000, description="per request")
    per_item_ms: float = Field(
        0.0, ge=0, le=3_600_000, description="added for each item of the batch"
    )
    jitter: float = Field(0.0, ge=0, lt=1, description="relative, uniform in ±jitter")
    seed: Seed = Field(0, description="for the jitter")
    cache_mib: float = Field(
        0.0,
        ge=0,
        le=1024,
        description="host memory for each item in flight, which is kept, as "
        "allocators of runtimes do",
    )

    def _broken(self) -> Iterator[Broken]:
        yield from super()._broken()
        if not self.jitter:
            yield from self.idle("goes with `jitter`", "seed")


class FakeRequest(NamedTuple):
    """The inputs and how long they take without jitter."""

    inputs: Tensors
    service_ns: int
    items: int


class FakeCache:
    """Memory as an allocator takes it that keeps what it has had: for the most items at once."""

    def __init__(self, item_bytes: int) -> None:
        self._item, self._lock = item_bytes, threading.Lock()
        self._blocks: list[bytes] = []
        self._free = 0

    def take(self, items: int) -> None:
        """Have memory for so many items; a negative number gives it back."""
        with self._lock:
            self._free -= items
            while self._item and self._free < 0:
                self._blocks.append(b"\1" * self._item)
                self._free += 1


class FakeBackend(Backend[FakeRequest, FakeRequest]):
    """Waits `service_time_ms + per_item_ms · batch`, ± jitter; answers with sums of the input."""

    def __init__(self, spec: FakeSettings, context: BackendContext) -> None:
        self.spec, self.context = spec, context
        self._callers = itertools.count()
        self.cache = FakeCache(round(spec.cache_mib * 2**20))

    @property
    def signature(self) -> Signature:
        """The model's inputs, and one output: float64 [batch]."""
        return Signature(self.context.model.inputs, (TensorSpec("output", "float64", (BATCH,)),))

    def load(self) -> LoadCost:
        """Nothing to load."""
        return LoadCost(seconds=0.0, details={"service_time_ms": self.spec.service_time_ms})

    def prepare(self, inputs: Tensors) -> FakeRequest:
        """The inputs with their service time; the batch is the first axis, 1 without inputs."""
        batch = next((len(array) for array in inputs.values()), 1)
        return FakeRequest(
            inputs, round((self.spec.service_time_ms + self.spec.per_item_ms * batch) * 1e6), batch
        )

    def caller(self) -> FakeCaller:
        """A caller with its own sequence of jitter: seeded by the spec and the caller's number."""
        return FakeCaller(self, random.Random(f"{self.spec.seed}/{next(self._callers)}"))


class FakeCaller(Caller[FakeRequest, FakeRequest]):
    """One caller: it waits."""

    def __init__(self, backend: FakeBackend, rng: random.Random) -> None:
        self._jitter, self._uniform = backend.spec.jitter, rng.uniform
        self._cache = backend.cache

    def infer(self, request: FakeRequest) -> FakeRequest:
        """Return the request when its time is over; the answer is made outside the clock."""
        if not request.service_ns:
            return request
        service = request.service_ns
        if self._jitter:
            service = round(service * (1 + self._uniform(-self._jitter, self._jitter)))
        until = time.monotonic_ns() + service
        self._cache.take(request.items)
        try:
            self._wait_until(until)
        finally:
            self._cache.take(-request.items)
        return request

    @staticmethod
    def _wait_until(deadline: int) -> None:
        time.sleep(max(0, deadline - time.monotonic_ns() - SPIN_NS) / 1e9)
        while time.monotonic_ns() < deadline:
            time.sleep(0)  # lets the other callers have the interpreter

    def outputs(self, reply: FakeRequest) -> Tensors:
        """`output`: for each item of the batch the sum over all its inputs, float64 [batch]."""
        if not reply.inputs:
            return {"output": np.zeros(1)}
        return {
            "output": sum(
                np.asarray(a, np.float64).reshape(len(a), -1).sum(1) for a in reply.inputs.values()
            )
        }
