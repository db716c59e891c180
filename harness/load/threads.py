"""Caller threads: one thread and one `backend.caller()` each, all released at the same moment."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence

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

Body = Callable[[int, Caller], None]
SAMPLE_AT = (5, 97, 997)
"""Which of a caller's requests have their outputs kept, to be compared with the reference."""


class ThreadLoad(ABC):
    """What a closed and an open loop over caller threads have in common; both are Generators.

    `requests` are what the backend prepared; a request that took more than `request_timeout`
    seconds counts as TIMEOUT.
    """

    def __init__(
        self, backend: Backend, requests: Sequence[object], callers: int, request_timeout: float,
        on_release: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        if not requests or callers < 1:
            raise ValueError("needs at least one request and one caller")
        self._requests = list(requests)
        self._timeout_ns = int(request_timeout * 1e9)
        self._stopping = threading.Event()
        self._messages: list[Counter[str]] = [Counter() for _ in range(callers)]
        self._kept: list[tuple[int, Tensors]] = []
        self._callers = CallerThreads(backend, callers, self._loop, on_release)

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early, if anything did."""
        return self._callers.failure

    def start(self) -> None:
        """Open every caller, then let all of them go at once."""
        self._callers.start()

    def sampled(self) -> list[tuple[int, Tensors]]:
        """Outputs kept under load, each with the index of its request; after `stop`."""
        return self._kept

    @abstractmethod
    def _loop(self, index: int, caller: Caller) -> None:
        """What a caller does until the load is stopped, or nothing more is due."""

    def _finish(self, timeout: float) -> None:
        """Send nothing more, and wait for what is open. Raises DeadlineError, or a failure."""
        self._stopping.set()
        self._callers.join(timeout)

    def _samples(
        self, scheduled: Int64, sent: Int64, done: Int64, status: Int64, caller: Int64
    ) -> Samples:
        """Everything in order of completion."""
        order = np.argsort(done, kind="stable")
        scheduled, sent, done = scheduled[order], sent[order], done[order]
        state = status[order].astype(np.uint8)
        state[(state == OK) & (done - sent > self._timeout_ns)] = TIMEOUT
        messages = dict(sum(self._messages, Counter()))
        return Samples(scheduled, sent, done, state, caller[order].astype(np.uint16), messages)


class CallerThreads:
    """Runs `body(index, caller)` in `count` threads; keeps the first failure."""

    def __init__(
        self, backend: Backend, count: int, body: Body, on_release: Callable[[], None] | None = None
    ) -> None:
        self._backend, self._body = backend, body
        self._ready = threading.Barrier(count + 1, action=on_release)
        self.failure: BaseException | None = None
        self._threads = [
            threading.Thread(target=self._call, args=(i,), name=f"caller-{i}", daemon=True)
            for i in range(count)
        ]

    def start(self) -> None:
        """Open every caller, then let all of them go at once. Raises what opening one raised."""
        for thread in self._threads:
            thread.start()
        try:
            self._ready.wait()
        except threading.BrokenBarrierError:
            if self.failure is not None:
                raise self.failure from None
            raise

    def _call(self, index: int) -> None:
        try:
            with self._backend.caller() as caller:
                self._ready.wait()
                self._body(index, caller)
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            self.failure = self.failure or error
            self._ready.abort()

    def join(self, timeout: float) -> None:
        """Wait for every body to return. Raises DeadlineError, or what a body raised."""
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        hung = sum(t.is_alive() for t in self._threads)
        if self.failure is not None:
            raise self.failure
        if hung:
            raise DeadlineError(f"{hung} request(s) still open {timeout:g} s after the load ended")


def classify(error: Exception) -> tuple[int, str]:
    """The status of a request that raised, and the message to count it under."""
    text = error.message if isinstance(error, HarnessError) else f"{type(error).__name__}: {error}"
    late = isinstance(error, (DeadlineError, TimeoutError))
    return (TIMEOUT if late else ERROR), cut(text, MESSAGE)
