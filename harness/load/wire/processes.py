"""One load spread over several generator processes, for when one core is not enough.

Each helper is a fresh interpreter. It gets its part of the plan on stdin, connects, says "ready",
and begins at the moment that all helpers are told. Live counts go through a memory-mapped file,
samples through one file a helper.
"""

from __future__ import annotations

import contextlib
import json
import math
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from harness.errors import WorkerDiedError, from_reason
from harness.load.wire.helper import READY, ROW, loads, pack
from harness.load.wire.loop import LEAD_NS
from harness.load.wire.plan import Order, Plan, Rest, split
from harness.results.samples import MORE_COLUMNS, Int64, Samples
from harness.system.child import Child
from harness.system.credentials import known
from harness.system.files import reserve

PATIENCE_S = 60.0
"""How long a helper may take to connect, or to save its samples."""
LAST_WORDS_S = 1.0
"""How long one that has ended may take to say why: it is in the pipe already."""
POLL_S = 0.005


class WireProcesses:
    """A Generator whose work is done by helper processes."""

    def __init__(self, plan: Plan, processes: int) -> None:
        self._parts = split(plan, processes)
        self._directory = tempfile.TemporaryDirectory(prefix="wire-")
        self._base = Path(self._directory.name)
        self._helpers: list[Child] = []
        self._failure: BaseException | None = None
        self._sampled: list[tuple[int, bytes]] = []
        shape = len(self._parts), ROW
        reserve(self._base / "live", 8 * math.prod(shape))
        self._live = np.memmap(self._base / "live", np.int64, "r+", shape=shape)
        self._last: list[int] = []

    @property
    def failure(self) -> BaseException | None:
        """What ended the load early: the first helper's error, or that one died or was stopped."""
        for index, helper in enumerate(self._helpers):
            if self._failure is None and (helper.process.poll() or helper.stopped):
                self._failure = self._why(index)
        return self._failure

    def _why(self, index: int, seen: WorkerDiedError | None = None) -> BaseException:
        try:
            while (line := self._helpers[index].line(LAST_WORDS_S)) is not None:
                if line != READY and (told := _told(line)):
                    return told
        except WorkerDiedError as error:  # its pipe has ended, or it was stopped
            seen = seen or error
        return seen or self._helpers[index].died()

    def start(self) -> None:
        """Start the helpers, wait until all are connected, begin in all at the same moment.

        Raises what a helper raised, or WorkerDiedError.
        """
        try:
            for index, part in enumerate(self._parts):
                self._helpers.append(Child("a generator process", "harness.load.wire.helper"))
                self._tell(index, Order(index, self._directory.name, part, tuple(known().items())))
            for index in range(len(self._helpers)):
                self._await_ready(index)
            begin = time.monotonic_ns() + LEAD_NS
            for index in range(len(self._helpers)):
                self._tell(index, begin)
        except BaseException:
            self._end()
            raise

    def _tell(self, index: int, message: object) -> None:
        try:
            self._helpers[index].send(pack(message))
        except WorkerDiedError as error:
            raise self._why(index, error) from None

    def _await_ready(self, index: int) -> None:
        try:
            line = self._helpers[index].line(PATIENCE_S)
        except WorkerDiedError as error:
            raise self._why(index, error) from None
        if line is None:
            raise WorkerDiedError(f"a generator process was not ready within {PATIENCE_S:g} s")
        if line != READY:
            raise _told(line) or self._helpers[index].died()

    def completed(self) -> int:
        """Requests that have finished so far, as of some ten milliseconds ago."""
        return int(self._live[:, 0].sum())

    def recent_ns(self) -> Int64:
        """Latencies of the latest requests of every helper."""
        return np.concatenate([row[3 : 3 + row[2]] for row in np.array(self._live)])

    def cpu_seconds(self) -> float:
        """CPU time that the busiest helper has used so far."""
        return float(self._live[:, 1].max()) / 1e9

    def sampled(self) -> list[tuple[int, bytes]]:
        """The kept responses with the index of the request that each answers; after `stop`."""
        return self._sampled

    def last(self) -> list[int]:
        """For each slot the index of its last request, or -1 where that was not answered.

        Of a plan whose requests are `pinned`; after `stop`.
        """
        return self._last

    def stop(self, timeout: float) -> Samples:
        """Stop all, and merge what they saw. Raises what a helper raised, or WorkerDiedError."""
        for helper in self._helpers:
            with contextlib.suppress(WorkerDiedError):  # `failure` says it better
                helper.send(pack(timeout))
        deadline = time.monotonic() + timeout + PATIENCE_S
        try:
            while self.failure is None and any(h.process.poll() is None for h in self._helpers):
                if time.monotonic() >= deadline:
                    raise WorkerDiedError("a generator process did not stop")
                time.sleep(POLL_S)
            if self.failure is not None:
                raise self.failure
            return self._collect()
        finally:
            self._end()

    def _collect(self) -> Samples:
        parts, messages = [], Counter[str]()
        for index, part in enumerate(self._parts):
            rest = Rest.read(loads((self._base / f"{index}.rest").read_bytes()))
            self._sampled += rest.sampled
            self._last += rest.last
            messages.update(rest.messages)
            parts.append((Samples.load(self._base / f"{index}.npz"), part.slots))
        return merge(parts, messages)

    def _end(self) -> None:
        for helper in self._helpers:
            helper.kill()
        self._directory.cleanup()


def _told(line: bytes) -> BaseException | None:
    """The error that a helper's line says; None where it is no words of ours."""
    try:
        return from_reason(**json.loads(line))
    except (ValueError, TypeError):
        return None


def merge(parts: list[tuple[Samples, int]], messages: Counter[str]) -> Samples:
    """One Samples in order of completion; `parts` are samples and how many callers they had."""
    first = np.cumsum([0, *(callers for _, callers in parts)])
    caller = [s.caller + np.uint16(f) for (s, _), f in zip(parts, first, strict=False)]
    order = np.argsort(np.concatenate([s.done for s, _ in parts]), kind="stable")
    names = ["scheduled", "sent", "done", "status"]
    names += [n for n in MORE_COLUMNS if all(getattr(s, n) is not None for s, _ in parts)]
    rows = {name: np.concatenate([getattr(s, name) for s, _ in parts])[order] for name in names}
    return Samples(**rows, caller=np.concatenate(caller)[order], messages=dict(messages))
