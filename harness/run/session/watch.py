"""What the telemetry reads during a session, and when the stages of bringing a server up ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from harness.scenario.spec.backend import AnyBackend
from harness.scenario.spec.served import ServedSettings
from harness.scenario.spec.server import Server
from harness.telemetry.client import Telemetry

if TYPE_CHECKING:
    from harness.telemetry.remote import RemoteTelemetry
    from harness.triton.server.process import TritonServer

BASELINE_S = 0.02
"""How long the device is read before a server starts: a few readings of its memory."""


class ProcessWatch:
    """Points the telemetry at the process tree of what runs the model. Closed at the end."""

    def __init__(self, telemetry: Telemetry, spec: AnyBackend) -> None:
        self._telemetry, self._gpu = telemetry, gpu_of(spec)
        self._remote: RemoteTelemetry | None = None
        self.empty_for = 0.0
        """Seconds for which a server that is started is watched before it loads a model."""
        self.empty_ns: tuple[int, int] | None = None
        """When that was, monotonic ns."""
        self.stages_ns: dict[str, int] = {}
        """When the stages ended: see `harness.telemetry.stages`."""

    @property
    def server_host(self) -> dict[str, object]:
        """`server_host`: what the telemetry on the server's own host says of it, if there is."""
        return {} if self._remote is None else {"server_host": self._remote.about}

    def worker(self, pid: int) -> None:
        """Watch a worker that runs the model itself."""
        self._telemetry.watch([pid], self._gpu)

    def baseline(self) -> None:
        """Read the device as it is before a server of ours."""
        self._telemetry.watch([], self._gpu)
        time.sleep(BASELINE_S if self._gpu else 0.0)
        self.stages_ns["baseline"] = time.monotonic_ns()

    def server(self, server: TritonServer) -> None:
        """Watch a server of ours."""
        self._telemetry.watch([server.pid], self._gpu, itself=True, keep=True)
        self.stages_ns["context"] = time.monotonic_ns()

    def empty_server(self, server: TritonServer) -> None:
        """Watch a server that has no model yet; for a while, where that is asked for."""
        self.server(server)
        if self.empty_for:
            begin = time.monotonic_ns()
            time.sleep(self.empty_for)
            self.empty_ns = begin, time.monotonic_ns()
            self.stages_ns["context"] = self.empty_ns[1]

    def elsewhere(self, settings: Server) -> None:
        """Watch a server that is not ours: by the telemetry beside it, or where it is found here.

        Otherwise its memory is not known; that of this host would be the wrong one.
        """
        if settings.telemetry is not None:
            from harness.telemetry.remote import RemoteTelemetry

            self._remote = RemoteTelemetry(settings.telemetry)
            self._telemetry.watch([], remote=self._remote)
            return
        from harness.telemetry.locate import server_pid

        pid = server_pid(str(settings.url))
        here = [] if pid is None else [pid]
        self._telemetry.watch(here, self._gpu if here else None, itself=True)

    def close(self) -> None:
        """Let go of the telemetry on another host."""
        if self._remote is not None:
            self._remote.close()


def gpu_of(spec: AnyBackend) -> str | None:
    """The GPU that a backend uses, as scenarios spell it; None on the CPU."""
    if isinstance(spec, ServedSettings) and spec.serve is None:
        return "cuda"  # who knows what an existing server uses: read it if it is there
    if not spec.on_gpu:
        others = spec.colocated if isinstance(spec, ServedSettings) else ()
        devices = (o.device for o in others if o.device not in (None, "cpu"))
        return next(devices, None)
    return getattr(spec, "device", None) or "cuda"


def gpu_place(spec: AnyBackend) -> int:
    """The place of that GPU among those that its process sees; by its UUID it sees no other."""
    place = (gpu_of(spec) or "").partition(":")[2]
    return int(place) if place.isdigit() else 0
