"""Caller threads: one thread and one `backend.caller()` each, all released at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from harness.backends.base import Backend, Caller
from harness.errors import DeadlineError, HarnessError, OutOfMemoryError, ServerDiedError
from harness.results.samples import ERROR, TIMEOUT

ERROR_PAUSE_S = 0.01
"""Wait after a failed request, so that a dead server is not asked a million times a second."""
FATAL = (OutOfMemoryError, ServerDiedError)
"""What ends the point at once: asking again would not help."""

Body = Callable[[int, Caller], None]
SAMPLE_AT = (5, 97, 997)
"""Which of a caller's requests have their outputs kept, to be compared with the reference."""


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
    return (TIMEOUT if late else ERROR), text[:500]
