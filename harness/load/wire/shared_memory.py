"""The wire client with tensors in shared memory: its messages carry names of regions only.

Each slot has an output region of its own, so that no two requests in flight write to the same
place, and with several generator processes no region is shared by two of them. There is a message
for every pair of input and slot; the plan is `pinned`, so a slot sends its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.load.generator import Generator
from harness.load.wire.requests import Message
from harness.models.tensors import Tensors
from harness.results.samples import Int64, Samples
from harness.triton.client.backend import TritonBackend
from harness.triton.client.common import ServerTarget, all_to_host
from harness.triton.client.shared_memory import Region, SharedRequest, widest

READ = 8
"""Output regions that are read after the load, at most."""


class Slotted(Generator, Protocol):
    """A generator that knows what each of its slots sent last."""

    def last(self) -> list[int]:
        """For each slot the index of its last request, or -1 where that was not answered."""
        ...


def messages_for(
    backend: TritonBackend, requests: Sequence[SharedRequest], slots: int
) -> list[Message]:
    """Inputs and outputs of each message: all slots of the first input, then of the second.

    The output regions live until the backend's `release`, as those of the inputs do.
    """
    if (regions := backend.regions) is None:
        raise ValueError("the backend has no shared memory")
    layout = widest(request.room.layout for request in requests)
    outputs = [regions.wanted(r) for r in regions.slots(backend.control, layout, slots)]
    return [(request.inputs, output) for request in requests for output in outputs]


class SharedLoad:
    """A Generator around another; after the load it reads what the server wrote last."""

    def __init__(
        self, inner: Slotted, target: ServerTarget, regions: Sequence[Region],
        requests: Sequence[SharedRequest],
    ) -> None:  # fmt: skip
        self._inner, self._target, self._regions = inner, target, regions
        self._requests = requests
        if hasattr(inner, "cpu_seconds"):
            self.cpu_seconds = inner.cpu_seconds

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early."""
        return self._inner.failure

    def start(self) -> None:
        """Begin."""
        self._inner.start()

    def completed(self) -> int:
        """Requests that have finished so far."""
        return self._inner.completed()

    def recent_ns(self) -> Int64:
        """Latencies of the latest requests."""
        return self._inner.recent_ns()

    def stop(self, timeout: float) -> Samples:
        """Send nothing more, wait for what is open, return every sample."""
        return self._inner.stop(timeout)

    def sampled(self) -> list[tuple[int, Tensors]]:
        """What the last request of some slots left in their regions, with the input's index."""
        last = zip(self._inner.last(), self._regions, strict=True)
        answered = [(which, region) for which, region in last if which >= 0]
        return [
            (which, all_to_host(self._target, region.tensors(self._requests[which].shapes)))
            for which, region in answered[:READ]
        ]
