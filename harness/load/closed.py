"""Closed loop: N callers, each in its own thread, each waits for its answer before the next."""

from __future__ import annotations

import itertools
import threading
import time
from array import array
from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.backends.base import Backend, Caller
from harness.load.threads import ERROR_PAUSE_S, FATAL, SAMPLE_AT, CallerThreads, classify
from harness.models.tensors import Tensors
from harness.results.samples import OK, TIMEOUT, Int64, Samples

RECENT = 1024
NEVER = 1 << 60


class ClosedLoop:
    """Threads over `backend.caller()`; the timed part of a request is `caller.infer` alone."""

    def __init__(
        self, backend: Backend, requests: Sequence[object], concurrency: int, request_timeout: float
    ) -> None:
        if not requests or concurrency < 1:
            raise ValueError("needs at least one request and one caller")
        self._requests = list(requests)
        self._timeout_ns = int(request_timeout * 1e9)
        self._stopping = threading.Event()
        self._times = [array("q") for _ in range(concurrency)]  # sent, done, sent, done, ...
        self._failed: list[list[tuple[int, int]]] = [[] for _ in range(concurrency)]
        self._messages: list[Counter[str]] = [Counter() for _ in range(concurrency)]
        self._kept: list[tuple[int, Tensors]] = []
        self._callers = CallerThreads(backend, concurrency, self._loop)

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early, if anything did."""
        return self._callers.failure

    def start(self) -> None:
        """Open every caller, then let all of them go at once."""
        self._callers.start()

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

    def sampled(self) -> list[tuple[int, Tensors]]:
        """Outputs kept under load, each with the index of its request; after `stop`."""
        return self._kept

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
        self._stopping.set()
        self._callers.join(timeout)
        pairs = [np.array(times, np.int64).reshape(-1, 2) for times in self._times]
        status = [np.full(len(p), OK, np.uint8) for p in pairs]
        for values, failed in zip(status, self._failed, strict=True):
            for index, code in failed:
                values[index] = code
        caller = [np.full(len(p), i, np.uint16) for i, p in enumerate(pairs)]
        times, state, who = np.concatenate(pairs), np.concatenate(status), np.concatenate(caller)
        order = np.argsort(times[:, 1], kind="stable")
        sent, done, state = times[order, 0], times[order, 1], state[order]
        state[(state == OK) & (done - sent > self._timeout_ns)] = TIMEOUT
        messages = dict(sum(self._messages, Counter()))
        return Samples(sent, sent, done, state, who[order], messages)
