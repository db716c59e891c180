"""What the configs of one backend share in one round: a server, and the workers that call it.

Starting them takes longer than measuring a config may. So the server goes on, loads one model,
is measured, unloads it and loads the next; the workers are bound to each in turn. Rounds share
nothing.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from harness.run.limited import Limited
from harness.run.worker.process import WorkerProcess

if TYPE_CHECKING:
    from harness.triton.server.process import TritonServer


class Shared(AbstractContextManager["Shared"]):
    """A context manager that ends both. Sessions borrow them and give them back."""

    def __init__(self, stem: str) -> None:
        self.stem = stem
        """What logs and the model repository are named after."""
        self.server: TritonServer | None = None
        self.workers: dict[str, WorkerProcess] = {}
        """By the name of the model they call: `ServedModel.name`."""
        self.limited = Limited()
        """What every server of the round may hold."""
        self._environment: dict[str, str] = {}

    def fitting(self, environment: dict[str, str]) -> TritonServer | None:
        """The server, if one runs that has this environment; another one is ended."""
        fits = self._environment == environment
        if self.server is not None and not (fits and self.server.alive()):
            self.close()
        self._environment = environment
        return self.server

    def close(self) -> None:
        """End workers and server; the next session starts new ones."""
        workers, self.workers = self.workers, {}
        server, self.server = self.server, None
        try:
            for worker in workers.values():
                worker.kill()
        finally:
            if server is not None:
                server.stop()

    def __exit__(self, *_: object) -> None:
        with self.limited:
            self.close()
