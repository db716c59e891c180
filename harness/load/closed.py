"""Closed loop: N callers, each in its own thread, each waits for its answer before the next."""

from __future__ import annotations

import itertools
import time

from harness.backends.base import Caller
from harness.load.threads import ERROR_PAUSE_S, FIELDS, SAMPLE_AT, ThreadLoad
from harness.results.samples import OK, Samples

NEVER = 1 << 60


class ClosedLoop(ThreadLoad):
    """Threads over `backend.caller()`; the timed part of a request is `caller.infer` alone."""

    def _loop(self, index: int, caller: Caller) -> None:
        infer = caller.infer
        clock, stopping = time.monotonic_ns, self._stopping.is_set
        record = self._records[index]
        extend = record.extend
        first = self._first(index)
        requests = itertools.cycle(self._requests[first:] + self._requests[:first])
        samples = iter(SAMPLE_AT)
        keep_at = FIELDS * next(samples)
        while not stopping():
            request = next(requests)
            sent = clock()
            try:
                reply = infer(request)
            except Exception as error:
                self._fail(index, sent, sent, error)
                time.sleep(ERROR_PAUSE_S)
            else:
                extend((sent, sent, clock(), OK))
                if len(record) >= keep_at:  # above it where that request failed
                    which = (first + len(record) // FIELDS - 1) % len(self._requests)
                    self._kept.append((self._order[which], caller.outputs(reply)))
                    keep_at = FIELDS * next(samples, NEVER)

    def stop(self, timeout: float) -> Samples:
        """Finish open requests and return everything, in order of completion."""
        self._finish(timeout)
        return self._samples()
