"""What a loop writes down of each request: plain arrays while it runs, `Samples` afterwards."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np

from harness.load.wire.http1 import KEPT_BYTES
from harness.load.wire.poller import Poller
from harness.models.tensors import Tensors
from harness.results.samples import MESSAGE, OK, TIMEOUT, Int64, Samples
from harness.system.credentials import cut

RECENT = 1024
KEPT = 64


class Recorder:
    """Appends only; `done` comes last, so its length is the number of complete rows."""

    def __init__(self, sample_every: int, poller: Poller | None = None) -> None:
        self.scheduled = array("q")  # stays empty in a closed loop
        self.sent = array("q")
        self.done = array("q")
        self.callers = array("H")
        self.which = array("H")
        """Index of the request that was sent."""
        self.written, self.woke = array("q"), array("q")
        """Of a load that has a `poller`: see `Samples`."""
        self._poller = poller
        self._bad: list[tuple[int, int]] = []
        self._messages: Counter[str] = Counter()
        self.kept: list[tuple[int, int, bytes | Tensors]] = []
        """Serial, request index, and the response, raw or as tensors."""
        self.every = sample_every

    def bad(
        self, scheduled: int | None, sent: int, done: int, caller: int, status: int, message: str,
        which: int = 0,
    ) -> None:  # fmt: skip
        """A row that did not succeed; `scheduled` is None in a closed loop."""
        self._bad.append((len(self.done), status))
        if message:
            self._messages[cut(message, MESSAGE)] += 1
        if scheduled is not None:
            self.scheduled.append(scheduled)
        self.sent.append(sent)
        self.callers.append(caller)
        self.which.append(which)
        if self._poller is not None:
            self.written.append(sent)
            self.woke.append(done)
        self.done.append(done)

    def stamp(self, written: list[int], slot: int, now: int) -> None:
        """The slot's moments of a request that is done, of which one is in `written` until then."""
        if self._poller is not None:
            self.written.append(written[slot])
            self.woke.append(self._poller.woke or now)
            written[slot] = 0

    def keep(self, serial: int, request: int, response: bytes | Tensors) -> None:
        """Keep a raw response. When there are too many, every second goes, evenly over the run."""
        self.kept.append((serial, request, response))
        while len(self.kept) > KEPT or self._kept_bytes() > KEPT_BYTES:
            if len(self.kept) == 1:
                break
            self.every = 2 * self.every + 1  # odd: a step of two would miss half the requests
            self.kept = self.kept[::2]

    def _kept_bytes(self) -> int:
        return sum(
            len(r) if isinstance(r, bytes) else sum(a.nbytes for a in r.values())
            for _, _, r in self.kept
        )

    def recent(self) -> Int64:
        """Latencies of the latest rows in ns; slices are copies, safe while the arrays grow."""
        end = len(self.done)
        begin = max(0, end - RECENT)
        starts = self.sent[begin:end]
        return np.array(self.done[begin:end], np.int64) - np.array(starts, np.int64)

    def latest(self) -> dict[int, bool]:
        """For each caller with rows: whether its latest request was answered well."""
        bad = {row for row, _ in self._bad}
        return {caller: row not in bad for row, caller in enumerate(self.callers)}

    def samples(self, timeout_ns: int) -> Samples:
        """All rows in order of completion; an answer after more than `timeout_ns` is a TIMEOUT."""
        sent, done = np.array(self.sent, np.int64), np.array(self.done, np.int64)
        scheduled = np.array(self.scheduled, np.int64) if len(self.scheduled) else sent
        status = np.full(len(done), OK, np.uint8)
        for row, code in self._bad:
            status[row] = code
        status[(status == OK) & (done - sent > timeout_ns)] = TIMEOUT
        order = np.argsort(done, kind="stable")
        stamps = {} if self._poller is None else {"written": self.written, "woke": self.woke}
        return Samples(
            scheduled[order], sent[order], done[order], status[order],
            np.array(self.callers, np.uint16)[order], dict(self._messages),
            which=np.array(self.which, np.uint16)[order],
            **{name: np.array(moments, np.int64)[order] for name, moments in stamps.items()},
        )  # fmt: skip
