"""Runs that are measured side by side on one host: points that others would disturb run alone.

Everything that loads the host (a session's opening, a point) takes its turn beside the others', and
a point that must be alone waits until nobody has one. Between processes, by locks on two files: who
waits to be alone holds the first, at which the others then queue, so that it is not passed over
for ever. Who dies leaves its turn.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

VARIABLE = "HARNESS_TURNS"
"""Names the file that lists the points to measure alone; not set where nothing runs beside."""
LOOK_S = 0.02


class Turns:
    """The turns of one run among those that share a file."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self.alone = frozenset[str](json.loads(file.read_text("utf-8"))["alone"] if file else ())

    @classmethod
    def here(cls) -> Turns:
        """As this process's environment has them."""
        return cls(Path(name) if (name := os.environ.get(VARIABLE)) else None)

    @contextlib.contextmanager
    def of(self, point: str = "") -> Iterator[None]:
        """Have the turn of a point, or of something else that is no point."""
        if self._file is None:
            yield
            return
        queue, hall = (self._file.with_suffix(suffix) for suffix in (".queue", ".turn"))
        with queue.open("a") as first, hall.open("a") as second:
            _take(first, fcntl.LOCK_EX)
            _take(second, fcntl.LOCK_EX if point in self.alone else fcntl.LOCK_SH)
            fcntl.flock(first, fcntl.LOCK_UN)
            yield


def _take(file: IO[str], kind: int) -> None:
    """Wait for a lock; a signal can end the wait, as anywhere."""
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, kind | fcntl.LOCK_NB)
            return
        time.sleep(LOOK_S)
