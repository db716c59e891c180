"""The seam of load generation: anything that can keep requests flowing and record them.

A generator starts, is left running through warm-up and window, and stops; it knows nothing of
windows. Everything since the start comes back as `Samples`, so a window can be cut afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from harness.models.tensors import Tensors
from harness.results.samples import Int64, Samples


class Generator(Protocol):
    """Keeps requests flowing from `start` to `stop`."""

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early: no further request will come."""
        ...

    def start(self) -> None:
        """Begin; returns when every caller is ready and requests flow. Raises what they raise."""
        ...

    def completed(self) -> int:
        """Requests that have finished so far; cheap enough to poll."""
        ...

    def recent_ns(self) -> Int64:
        """Latencies of the latest few thousand requests, for the live display."""
        ...

    def sampled(self) -> Sequence[tuple[int, Tensors | bytes]]:
        """Outputs of some requests, each with the request's index; after `stop`.

        Tensors, or raw response bytes that `harness.load.wire.requests` decodes.
        """
        ...

    def stop(self, timeout: float) -> Samples:
        """Send nothing more, wait for what is open, return every sample since `start`.

        Raises DeadlineError when a request is still open after `timeout` seconds.
        """
        ...
