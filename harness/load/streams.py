"""Callers of a runtime in this process that runs by itself: one thread over all of them.

A GPU is asked as `trtexec` asks it: each caller has a stream of its own, and one thread begins
requests and asks events whether they are over. Threads would fight over the interpreter and the
driver, and their waiting would be measured. The loop is the wire client's, with streams in place of
connections.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from typing import cast

from harness.backends.base import Backend, StreamCaller, collect
from harness.load.threads import FATAL, classify
from harness.load.wire.loop import WireGenerator
from harness.load.wire.transport import Transport

SAMPLE_EVERY = 97
"""Which answers are kept, to be compared with the reference; see `Recorder.keep`."""
_clock = time.monotonic_ns


class Streams(Transport):
    """A slot is a `StreamCaller`; a request in flight is one that it has begun."""

    def __init__(self, backend: Backend, requests: Sequence[object], slots: int) -> None:
        super().__init__(requests, slots)
        self._backend, self._requests = backend, requests
        self._stack = contextlib.ExitStack()
        self._callers: list[StreamCaller] = []
        self._flying: dict[int, None] = {}
        """Slots whose request is open, in the order in which they were begun."""
        self.launching_ns = 0
        """What beginning requests has taken so far."""

    def open(self) -> None:
        """Make every caller, and let none of the requests be its first."""
        for _ in self.sent:
            caller = cast(StreamCaller, self._stack.enter_context(self._backend.caller()))
            self._callers.append(caller)
            for request in self._requests:
                caller.warm(request)

    def send(self, slot: int, request: int) -> None:
        """Begin it."""
        self.sent[slot] = sent = _clock()
        try:
            self._callers[slot].begin(self._requests[request])
        except Exception as error:
            self._fail(slot, error)
        else:
            self._flying[slot] = None
            self.launching_ns += _clock() - sent

    def poll(self, seconds: float) -> None:
        """Ask every caller with an open request in turn, until one is ready or time is over.

        Without a pause: a pause would be measured as latency.
        """
        if not self._flying:
            time.sleep(max(0.0, seconds))
            return
        until, before = _clock() + int(seconds * 1e9), len(self._flying)
        while True:
            for slot in [*self._flying]:
                self._ask(slot)
            if len(self._flying) < before or _clock() >= until:
                return

    def _ask(self, slot: int) -> None:
        caller = self._callers[slot]
        try:
            if not caller.ready():
                return
            now, reply = _clock(), caller.finish()
        except Exception as error:
            del self._flying[slot]
            self._fail(slot, error)
            return
        del self._flying[slot]
        if self.wanted[slot]:
            self.keep(slot, caller.outputs(reply))
        self.done(slot, now)

    def _fail(self, slot: int, error: Exception) -> None:
        if isinstance(error, FATAL):
            raise error
        self.failed(slot, _clock(), *classify(error))

    def abandon(self, slot: int) -> None:
        """Ask no more: only when the load is over (`StreamLoad._check`), and `close` waits."""
        del self._flying[slot]

    def close(self) -> None:
        """Close every caller."""
        self._callers.clear()
        self._stack.close()


class StreamLoad(WireGenerator):
    """A `Generator` over one `StreamCaller` a slot; closed loop, or open loop over a schedule."""

    _transport: Streams

    def start(self, at_ns: int = 0) -> None:
        """Make the callers, in the thread that drives them; return when requests flow."""
        collect()  # here: pycuda frees nothing in a thread that is not attached
        self._begin_at = at_ns
        self._thread.start()
        while self._thread.is_alive() and not self._ready.wait(0.01):
            pass
        if self.failure is not None:
            raise self.failure

    def _check(self, now: int) -> None:
        """Nothing: what runs on a GPU can't be given up. An answer that is too late is a TIMEOUT
        in the samples, one that never comes ends the point.
        """

    @property
    def launching_ns(self) -> int:
        """Time of the one thread spent beginning requests, so far."""
        return self._transport.launching_ns
