"""Faults on purpose: a thread that does at its time what the scenario says, and notes when."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.stress.proxy import Proxy
from harness.stress.server import StressServer
from harness.swarm.settings import Fault


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """What was done; seconds after the load began."""

    kind: str
    asked: float
    """When the scenario wants it."""
    begin: float
    end: float
    """When the harness had undone it: the server ready again, the network as it was."""
    how: str
    problem: str = ""
    """Why it could not be done or undone."""


class Faults:
    """Runs the scenario's faults one after the other. `told` hears of each that is over."""

    def __init__(
        self, faults: Sequence[Fault], server: StressServer, proxy: Proxy | None,
        told: Callable[[FaultRecord], None],
    ) -> None:  # fmt: skip
        self._faults = sorted(faults, key=lambda f: f.at)
        self._server, self._proxy, self._told = server, proxy, told
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, start_ns: int) -> None:
        """Begin to wait for the first; `start_ns` is when the load began."""
        self._thread = threading.Thread(target=self._run, args=(start_ns,), name="faults")
        self._thread.start()

    def _run(self, start_ns: int) -> None:
        def now() -> float:
            return (time.monotonic_ns() - start_ns) / 1e9

        for fault in self._faults:
            if self._stop.wait(max(0.0, fault.at - now())):
                return
            begin, problem = now(), ""
            try:
                with self._harm(fault):
                    self._stop.wait(fault.lasts)
            except HarnessError as error:
                problem = error.message
            how = self._proxy.how if fault.network and self._proxy else HOW[fault.kind]
            self._told(FaultRecord(fault.kind, fault.at, begin, now(), how, problem))

    @contextmanager
    def _harm(self, fault: Fault) -> Iterator[None]:
        """Do it; on leaving it is undone, whatever happened in between."""
        server = self._server
        if fault.kill:
            server.kill()
            yield
            server.restart()
        elif fault.pause:
            server.stand_still(True)
            try:
                yield
            finally:
                server.stand_still(False)
        elif fault.unload:
            server.unload()
            try:
                yield
            finally:
                server.reload()
        elif fault.network and self._proxy is not None:
            self._proxy.set(fault.network.delay_ms / 1e3, fault.network.stall)
            try:
                yield
            finally:
                self._proxy.set(0.0, 0.0)

    def stop(self) -> None:
        """No further fault; one that is going on is undone first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()


HOW = {
    "kill": "SIGKILL to tritonserver, then started again by the harness on the same ports",
    "pause": "SIGSTOP to tritonserver, then SIGCONT",
    "unload": "unloaded by the repository API, then loaded again",
    "network": "not at all: no proxy stands between the clients and the server",
}
"""What each kind is in words."""
