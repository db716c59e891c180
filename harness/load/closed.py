"""Closed loop: N callers, each in its own thread, each waits for its answer before the next."""

from __future__ import annotations

import itertools
import time
from array import array
from collections.abc import Sequence

import numpy as np

from harness.backends.base import Backend, Caller
from harness.load.threads import ERROR_PAUSE_S, FATAL, SAMPLE_AT, ThreadLoad, classify
from harness.results.samples import OK, Int64, Samples

RECENT = 1024
NEVER = 1 << 60


class ClosedLoop(ThreadLoad):
    """Threads over `backend.caller()`; the timed part of a request is `caller.infer` alone."""

    def __init__(
        self, backend: Backend, requests: Sequence[object], concurrency: int, request_timeout: float
    ) -> None:
        super().__init__(backend, requests, concurrency, request_timeout)
        self._times = [array("q") for _ in range(concurrency)]  # sent, done, sent, done, ...
        self._failed: list[list[tuple[int, int]]] = [[] for _ in range(concurrency)]

    def _loop(self, index: int, caller: Caller) -> None:
        infer = caller.infer
        clock, stopping = time.monotonic_ns, self._stopping.is_set
        times = self._times[index]
        append = times.append
        first = index % len(self._requests)
        requests = itertools.cycle(self._requests[first:] + self._requests[:first])
        samples = iter(SAMPLE_AT)
        keep_at = 2 * next(samples)
        while not stopping():
            request = next(requests)
            sent = clock()
            try:
                reply = infer(request)
            except FATAL:
                raise
            except Exception as error:
                done = clock()
                status, message = classify(error)
                self._failed[index].append((len(times) // 2, status))
                self._messages[index][message] += 1
                append(sent)
                append(done)
                time.sleep(ERROR_PAUSE_S)
            else:
                done = clock()
                append(sent)
                append(done)
                if len(times) >= keep_at:  # above it where that request failed
                    which = (first + len(times) // 2 - 1) % len(self._requests)
                    self._kept.append((which, caller.outputs(reply)))
                    keep_at = 2 * next(samples, NEVER)

    def completed(self) -> int:
        """Requests that have finished so far."""
        return sum(len(times) for times in self._times) // 2

    def recent_ns(self) -> Int64:
        """Latencies of the latest requests; the slices are copies, safe while the arrays grow."""
        each = max(2, RECENT // len(self._times)) * 2
        tails = []
        for times in self._times:
            whole = len(times) // 2 * 2
            tails.append(times[max(0, whole - each) : whole])
        pairs = [np.frombuffer(tail, np.int64) for tail in tails if len(tail)]
        return np.concatenate([p[1::2] - p[::2] for p in pairs]) if pairs else np.empty(0, np.int64)

    def stop(self, timeout: float) -> Samples:
        """Finish open requests and return everything, in order of completion."""
        self._finish(timeout)
        pairs = [np.array(times, np.int64).reshape(-1, 2) for times in self._times]
        status = [np.full(len(p), OK, np.int64) for p in pairs]
        for values, failed in zip(status, self._failed, strict=True):
            for index, code in failed:
                values[index] = code
        caller = np.repeat(np.arange(len(pairs)), [len(p) for p in pairs])
        sent, done = np.concatenate(pairs).T
        return self._samples(sent, sent, done, np.concatenate(status), caller)
