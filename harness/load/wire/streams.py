"""The streams of one HTTP/2 connection: which slot each of them serves, and how it ends. No I/O."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from harness.load.wire.http1 import KEPT_BYTES
from harness.load.wire.outgoing import Outgoing
from harness.models.tensors import Tensors
from harness.results.samples import ERROR

PREFIX = 5
"""Bytes before a gRPC message: whether it is compressed, and its length."""


class Slots(Protocol):
    """The transport, as its streams see it."""

    wanted: list[bool]
    done: Callable[[int, int], None]
    failed: Callable[[int, int, int, str], None]
    keep: Callable[[int, bytes | Tensors], None]

    def may_retry(self, slot: int) -> bool:
        """Whether a refused request is to be sent again."""
        ...

    def retry(self, slot: int) -> None:
        """Send the slot's request again."""
        ...


class Answer:
    """How much of an answer has come; the bytes too where they are wanted."""

    __slots__ = ("body", "expected", "prefix", "size")

    def __init__(self, wanted: bool, spoilt: bool = False) -> None:
        self.size = 0
        self.expected = 0 if spoilt else -1
        self.prefix = b""
        self.body: bytearray | None = bytearray() if wanted else None

    def take(self, data: memoryview) -> None:
        """The next bytes."""
        self.size += len(data)
        if self.expected < 0:
            self.prefix += data[:PREFIX]
            if len(self.prefix) >= PREFIX:
                self.expected = PREFIX + int.from_bytes(self.prefix[1:PREFIX], "big")
        if self.body is not None:
            self.body += data
            if len(self.body) > KEPT_BYTES:
                self.body = None


WHOLE = Answer(False)
"""The usual answer: one message in one frame, which nobody wants to see."""
WHOLE.size = WHOLE.expected = PREFIX


class Streams:
    """What is in flight. A stream ends by `answered`, `fail`, `refused` or `cancel`."""

    def __init__(self, owner: Slots, outgoing: Outgoing) -> None:
        self.slots: dict[int, int] = {}
        """Stream to slot."""
        self.answers: dict[int, Answer] = {}
        """Stream to what has come of its answer."""
        self._owner, self._outgoing = owner, outgoing

    def data(self, stream: int, data: memoryview) -> None:
        """A piece of a stream's answer."""
        slot = self.slots.get(stream)
        if slot is None or not data:
            return
        answer = self.answers.get(stream)
        if answer is None or answer is WHOLE:
            # more data after a whole message makes an answer whose size is wrong
            answer = Answer(self._owner.wanted[slot], answer is WHOLE)
            self.answers[stream] = answer
        answer.take(data)

    def answered(self, stream: int, now: int) -> None:
        """The stream has ended with gRPC's status 0."""
        slot = self.slots.get(stream)
        answer = self.answers.pop(stream, None)
        if slot is None:
            return
        if answer is None or answer.size < PREFIX or answer.size != answer.expected:
            self.fail(stream, "the answer is not one complete message", now)
            return
        if answer.prefix[:1] not in (b"", b"\0"):
            self.fail(stream, "a compressed answer, not asked for", now)
            return
        self._end(stream)
        if answer.body is not None:
            self._owner.keep(slot, bytes(answer.body[PREFIX:]))
        self._owner.done(slot, now)

    def fail(self, stream: int, message: str, now: int, status: int = ERROR) -> None:
        """The stream has ended otherwise."""
        slot = self.slots.get(stream)
        self.answers.pop(stream, None)
        if slot is not None:
            self._end(stream)
            self._owner.failed(slot, now, status, message)

    def _end(self, stream: int) -> None:
        del self.slots[stream]
        if stream in self._outgoing.uploads:  # answered before it was asked to the end
            self._outgoing.cancel(stream)

    def refused(self, stream: int) -> bool:
        """Send the request again, which has not been processed; False where that is no use."""
        slot = self.slots.get(stream)
        if slot is None or not self._owner.may_retry(slot):
            return False
        del self.slots[stream]
        self._outgoing.uploads.pop(stream, None)
        self._owner.retry(slot)
        return True

    def cancel(self, slot: int) -> bool:
        """Reset the slot's stream: the slot is free. False where it has none."""
        stream = next((s for s, other in self.slots.items() if other == slot), None)
        if stream is None:
            return False
        del self.slots[stream]
        self.answers.pop(stream, None)
        self._outgoing.cancel(stream)
        return True

    def lose(self, message: str, now: int) -> None:
        """The connection is broken: all that is in flight has failed."""
        slots = list(self.slots.values())
        self.slots.clear()
        for slot in slots:
            self._owner.failed(slot, now, ERROR, message)
