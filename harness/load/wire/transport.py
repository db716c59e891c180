"""The seam between the load and the bytes: what the loop and a transport tell each other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from harness.load.wire.poller import Poller
from harness.models.tensors import Tensors


class Transport(ABC):
    """Moves requests and responses of the slots. A slot has at most one request in flight.

    `done(slot, now)`, `failed(slot, now, status, message)` and `keep(slot, response)` are the
    loop's: it sets them before `open`.
    """

    done: Callable[[int, int], None]
    failed: Callable[[int, int, int, str], None]
    keep: Callable[[int, bytes | Tensors], None]
    poller: Poller | None = None
    """Where the transport waits for bytes; None where it moves none."""

    def __init__(self, requests: Sequence[object], slots: int) -> None:
        if not requests:
            raise ValueError("needs at least one request")
        self.count = len(requests)
        """How many different requests there are."""
        self.sent = [0] * slots
        """For each slot: when its request's first byte was handed to the kernel; 0 when idle."""
        self.written = [0] * slots
        """For each slot: when the kernel had taken what it took at once of its request."""
        self.wanted = [False] * slots
        """For each slot: whether its response is to be kept."""

    @abstractmethod
    def open(self) -> None:
        """See that the server can be reached. Raises ServerDiedError."""

    def connect(self) -> None:  # noqa: B027 - most transports are connected by `open`
        """Right before the load begins, and in all its processes at once: connect the slots.
        Raises ServerDiedError.
        """

    @abstractmethod
    def send(self, slot: int, request: int) -> None:
        """Start request number `request` on an idle slot; `flush` makes sure that it leaves."""

    def flush(self) -> None:  # noqa: B027 - most transports hold nothing back
        """Hand what `send` gathered to the kernel."""

    @abstractmethod
    def poll(self, seconds: float) -> None:
        """Handle what comes in, waiting for at most `seconds`. Raises ServerDiedError."""

    @abstractmethod
    def abandon(self, slot: int) -> None:
        """Give up the slot's request; the slot can be used again."""

    @abstractmethod
    def close(self) -> None:
        """Close every connection."""
