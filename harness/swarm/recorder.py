"""The recorder: nanoseconds of every request that a Locust process makes, whosever users it runs.

It listens to Locust's `request` event. The harness's own users put their four times into the
event's context; for others `sent` is the moment of the event less the response time that the user
gives (a float of ms from a clock of ns: exact to the ns for hours). Locust's own percentiles are
rounded to two digits; those of the report are made of these records.
"""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.results.samples import ERROR, MESSAGE, OK, Samples
from harness.system.credentials import cut

WIDTH = 5
"""Numbers a record: scheduled, sent, done (monotonic ns), status, kind of the error (0: none)."""
KEY = "harness"
"""Under which our users' times stand in the context."""
MOST_KINDS = 200
"""Different messages that are kept; what comes after is `other`."""


@dataclass(frozen=True, slots=True)
class Times:
    """What one of the harness's own users knows of a request."""

    scheduled: int
    sent: int
    done: int
    status: int


class Recorder:
    """Keeps records until they are taken. `offset_ns` is added to each time: the clock of who
    merges them less this host's.
    """

    def __init__(self, offset_ns: int = 0) -> None:
        self.offset_ns = offset_ns
        self.kinds: list[str] = [""]
        """What each number of the last column means."""
        self._rows = array("q")
        self._known: dict[str, int] = {"": 0}

    def on_request(
        self, response_time: float, context: Mapping[str, Any] | None = None,
        exception: BaseException | None = None, **_: object,
    ) -> None:  # fmt: skip
        """Locust's event."""
        given = (context or {}).get(KEY)
        if not isinstance(given, Times):
            done = time.monotonic_ns()
            sent = done - round(response_time * 1e6)
            given = Times(sent, sent, done, OK if exception is None else ERROR)
        self.add(given, "" if exception is None else words(exception))

    def add(self, times: Times, kind: str = "") -> None:
        """One request, whether Locust hears of it or not; `kind` says what went wrong."""
        shift = self.offset_ns
        self._rows.extend((times.scheduled + shift, times.sent + shift, times.done + shift,
                           times.status, self._number(kind)))  # fmt: skip

    def _number(self, kind: str) -> int:
        found = self._known.get(kind)
        if found is None:
            kind = kind if len(self.kinds) < MOST_KINDS else "other"
            found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = len(self.kinds)
            self.kinds.append(kind)
        return found

    def take(self) -> bytes:
        """What came since the last call, as int64 in this machine's order."""
        rows, self._rows = self._rows, array("q")
        return rows.tobytes()


def words(error: BaseException) -> str:
    """An error in a line, without what differs from request to request."""
    text = " ".join(str(error).split()) or type(error).__name__
    return cut(text, MESSAGE)


def rows_of(data: bytes) -> NDArray[np.int64]:
    """Records of shape (requests, WIDTH); one that was cut short is dropped."""
    whole = len(data) // (8 * WIDTH) * (8 * WIDTH)
    return np.frombuffer(data[:whole], np.int64).reshape(-1, WIDTH)


@dataclass(frozen=True, slots=True)
class Merged:
    """The records of all workers, in order of completion."""

    samples: Samples
    """`caller` is the worker's number."""
    kinds: tuple[str, ...]
    kind: NDArray[np.uint16]
    """Of each request, an index into `kinds`."""


def merge(parts: Mapping[int, tuple[bytes, list[str]]]) -> Merged:
    """What the workers recorded, as one; exact percentiles need every request."""
    kinds: dict[str, int] = {"": 0}
    blocks, numbers, workers = [], [], []
    for worker, (data, names) in parts.items():
        rows = rows_of(data)
        mapping = np.array([kinds.setdefault(n, len(kinds)) for n in names or [""]], np.uint16)
        blocks.append(rows)
        numbers.append(mapping[np.clip(rows[:, 4], 0, len(mapping) - 1)])
        workers.append(np.full(len(rows), worker, np.uint16))
    rows = np.concatenate(blocks) if blocks else np.empty((0, WIDTH), np.int64)
    order = np.argsort(rows[:, 2], kind="stable")
    kind = np.concatenate(numbers or [np.empty(0, np.uint16)])[order]
    caller = np.concatenate(workers or [np.empty(0, np.uint16)])[order]
    rows = rows[order]
    names = list(kinds)
    messages = {names[i]: int(n) for i, n in enumerate(np.bincount(kind, minlength=1)) if i and n}
    samples = Samples(rows[:, 0].copy(), rows[:, 1].copy(), rows[:, 2].copy(),
                      rows[:, 3].astype(np.uint8), caller, messages)  # fmt: skip
    return Merged(samples, tuple(names), kind)
