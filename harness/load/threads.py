"""Caller threads: one thread and one `backend.caller()` each, all released at the same moment."""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.backends.base import Backend, Caller
from harness.errors import DeadlineError, HarnessError, OutOfMemoryError, ServerDiedError
from harness.models.tensors import Tensors
from harness.results.samples import ERROR, MESSAGE, OK, TIMEOUT, Int64, Samples
from harness.system.credentials import cut

ERROR_PAUSE_S = 0.01
"""Wait after a failed request, so that a dead server is not asked a million times a second."""
FATAL = (OutOfMemoryError, ServerDiedError)
"""What ends the point at once: asking again would not help."""

RECENT = 1024
FIELDS = 4
"""Of a record: scheduled, sent, done (monotonic ns) and status."""
SAMPLE_AT = (5, 97, 997)
"""Which of a caller's requests have their outputs kept, to be compared with the reference."""


class ThreadLoad(ABC):
    """What a closed and an open loop over caller threads have in common; both are Generators.

    `requests` are what the backend prepared; a request that took more than `request_timeout`
    seconds counts as TIMEOUT. They are sent over and over again, in `order` where it is given.
    """

    failure: BaseException | None = None

    def __init__(
        self, backend: Backend, requests: Sequence[object], callers: int, request_timeout: float,
        order: Sequence[int] = (),
    ) -> None:  # fmt: skip
        if not requests or callers < 1:
            raise ValueError("needs at least one request and one caller")
        self._order = [*(order or range(len(requests)))]
        self._backend, self._requests = backend, [requests[which] for which in self._order]
        self._timeout_ns = int(request_timeout * 1e9)
        self._stopping = threading.Event()
        self._messages: list[Counter[str]] = [Counter() for _ in range(callers)]
        self._kept: list[tuple[int, Tensors]] = []
        self._records = [array("q") for _ in range(callers)]
        self._ready = threading.Barrier(callers + 1, action=self._release)
        self._threads = [
            threading.Thread(target=self._call, args=(i,), name=f"caller-{i}", daemon=True)
            for i in range(callers)
        ]

    def start(self) -> None:
        """Open every caller, then let all of them go at once. Raises what opening one raised."""
        for thread in self._threads:
            thread.start()
        with contextlib.suppress(threading.BrokenBarrierError):  # by a caller's failure
            self._ready.wait()
        if self.failure is not None:
            raise self.failure

    def _release(self) -> None:  # noqa: B027 - a closed loop has nothing to do
        """What is done at the moment when all are let go."""

    def _call(self, index: int) -> None:
        try:
            with self._backend.caller() as caller:
                self._ready.wait()
                self._loop(index, caller)
        except BaseException as error:
            self.failure = self.failure or error  # the first, not the barrier that it broke
            self._ready.abort()

    def sampled(self) -> list[tuple[int, Tensors]]:
        """Outputs kept under load, each with the index of its request; after `stop`."""
        return self._kept

    def _first(self, index: int) -> int:
        """Where a caller begins in the order, as far from the others as it can be."""
        return index * len(self._requests) // len(self._records)

    def _places(self, index: int, rows: int) -> Int64:
        """Of a caller's rows: the place in the order that each request had."""
        return self._first(index) + np.arange(rows)

    @abstractmethod
    def _loop(self, index: int, caller: Caller) -> None:
        """What a caller does until the load is stopped, or nothing more is due."""

    def completed(self) -> int:
        """Requests that have finished (or were shed) so far."""
        return sum(map(len, self._records)) // FIELDS

    def recent_ns(self) -> Int64:
        """Response times of the latest requests; slices are copies, safe while arrays grow."""
        each = max(1, RECENT // len(self._records)) * FIELDS
        ends = [(r, len(r) // FIELDS * FIELDS) for r in self._records]
        rows = np.concatenate([np.array(r[max(0, n - each) : n], np.int64) for r, n in ends])
        return np.asarray(rows[2::FIELDS] - rows[::FIELDS])

    def _finish(self, timeout: float) -> None:
        """Send nothing more, and wait for what is open. Raises DeadlineError, or a failure."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        hung = sum(t.is_alive() for t in self._threads)
        if self.failure is not None:
            raise self.failure
        if hung:
            raise DeadlineError(f"{hung} request(s) still open {timeout:g} s after the load ended")

    def _fail(self, index: int, scheduled: int, sent: int, error: Exception) -> None:
        """Write a request down that raised; what no other would survive is raised again."""
        done = time.monotonic_ns()
        if isinstance(error, FATAL):
            raise error
        status, message = classify(error)
        self._messages[index][message] += 1
        self._records[index].extend((scheduled, sent, done, status))

    def _samples(self, never_sent: Int64 | None = None) -> Samples:
        """Everything in order of completion; `never_sent` are further rows, shape (n, FIELDS)."""
        parts = [np.array(r, np.int64).reshape(-1, FIELDS) for r in self._records]
        places = [self._places(i, len(p)) for i, p in enumerate(parts)]
        if never_sent is not None:
            parts.append(never_sent)
            places.append(np.zeros(len(never_sent), np.int64))
        which = np.array(self._order, np.uint16)[np.concatenate(places) % len(self._order)]
        caller = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
        rows = np.concatenate(parts)
        order = np.argsort(rows[:, 2], kind="stable")
        scheduled, sent, done, status = rows[order].T
        state = status.astype(np.uint8)
        state[(state == OK) & (done - sent > self._timeout_ns)] = TIMEOUT
        messages = dict(sum(self._messages, Counter()))
        callers = caller[order].astype(np.uint16)
        return Samples(scheduled, sent, done, state, callers, messages, which=which[order])


def classify(error: Exception) -> tuple[int, str]:
    """The status of a request that raised, and the message to count it under."""
    text = error.message if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    late = isinstance(error, (DeadlineError, TimeoutError))
    return (TIMEOUT if late else ERROR), cut(text, MESSAGE)
