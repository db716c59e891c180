"""A client's worker that is started ahead, in the shadow of a measurement that counts nowhere.

A worker imports for half a second until it listens. A search with a real server opens a session a
round, so that would be the largest part of what a round takes besides measuring.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from harness.errors import HarnessError
from harness.run.worker import messages
from harness.run.worker.process import WorkerProcess, start_worker

STARTING_S = 60.0
"""How long one may take until it listens."""


class Spare(contextlib.AbstractContextManager["Spare"]):
    """At most one worker in our own Python, without limits; a context manager that ends it."""

    def __init__(self, logs: Path, base: Path) -> None:
        self._log, self._base = logs / "spare.log", base
        self._worker: WorkerProcess | None = None

    def start(self) -> None:
        """Start one if that can be done, unless one waits already. What is measured meanwhile is
        disturbed by it.
        """
        with contextlib.suppress(HarnessError, OSError):
            self._worker = self._worker or start_worker(self._log, self._base, None)

    def wait(self) -> None:
        """Until it listens and rests. One that can't is ended: the session will start its own."""
        try:
            if self._worker is not None:
                self._worker.ask(messages.UnloadBackend(), deadline=STARTING_S)
        except HarnessError:
            self.close()

    def take(self, log: Path) -> WorkerProcess | None:
        """It, from now on with this log; None where there is none, or the log is another's."""
        worker = self._worker
        if worker is None or not worker.alive or log.exists():
            return None
        self._worker, worker.log = None, self._log.rename(log)
        return worker

    def close(self) -> None:
        """End it."""
        if self._worker is not None:
            self._worker.kill()
            self._log.unlink(missing_ok=True)
        self._worker = None

    def __exit__(self, *_: object) -> None:
        self.close()
