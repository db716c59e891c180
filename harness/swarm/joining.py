"""Master and workers: who may join, one clock, the records on their way, and who was lost.

Over Locust's own messages. A worker says its version and the hash of its scenario; one that
differs is refused in words. It gets the plan and the requests from the master, so a worker's host
needs neither the model nor its data. Clocks are compared as in `harness.telemetry.remote`: the
fastest of some round trips bounds the offset by half of itself.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import gevent
import numpy as np
from locust import runners
from locust.env import Environment
from locust.runners import MasterRunner, WorkerRunner

from harness.errors import ServerError, UsageError, WorkerDiedError
from harness.results.samples import Int64
from harness.swarm import shapes
from harness.swarm.plan import Config, EnginePlan
from harness.swarm.progress import Progress
from harness.swarm.recorder import Recorder
from harness.swarm.users import Station, station_of, user_classes
from harness.telemetry.remote import exchange
from harness.version import __version__

Say = Callable[..., None]
EXCHANGES = 16
ANSWER_S = 30.0
"""How long a master that was reached may take to answer."""
FINAL_S = 5.0
"""Beyond the time-out of a request, until a worker's last records are given up."""


def refusal(plan: EnginePlan, version: str, scenario_hash: str) -> str:
    """Why a worker may not join; empty if it may."""
    if version != plan.version:
        return f"it runs harness {version}, the master {plan.version}"
    if scenario_hash != plan.scenario_hash:
        return "its scenario is another one than the master's"
    return ""


class Crew:
    """The master's side: the workers, by their number."""

    def __init__(
        self, runner: MasterRunner, plan: EnginePlan, requests: bytes, progress: Progress, say: Say
    ) -> None:
        self._runner, self._plan, self._requests = runner, plan, requests
        self.progress, self._say = progress, say
        self._numbers: dict[str, int] = {}
        self._ready: set[str] = set()
        self._lost: set[str] = set()
        self._final: set[str] = set()
        self._state: dict[str, Mapping[str, Any]] = {}
        for name, listener in (("join", self._join), ("clock", self._clock),
                               ("ready", self._on_ready), ("final", self._on_final)):  # fmt: skip
            runner.register_message(f"harness_{name}", listener)
        runner.environment.events.worker_report.add_listener(self._report)  # type: ignore[no-untyped-call]

    # -- messages -------------------------------------------------------------------------------

    def _send(self, name: str, data: Mapping[str, Any], node: str) -> None:
        self._runner.send_message(f"harness_{name}", dict(data), node)

    def _join(self, msg: Any, **_: object) -> None:
        node, data = msg.node_id, msg.data
        why = refusal(self._plan, str(data["version"]), str(data["hash"]))
        if not why and len(self._numbers) >= self._plan.workers:
            why = f"the master has its {self._plan.workers} workers"
        if why:
            self._say("refused", host=data["host"], why=why)
            self._send("refuse", {"why": why}, node)
            return
        self._numbers[node] = min({*range(self._plan.workers)} - {*self._numbers.values()})
        plan = {"plan": self._plan.to_json(), "requests": self._requests}
        self._send("plan", plan, node)

    def _clock(self, msg: Any, **_: object) -> None:
        now = time.monotonic_ns()
        self._send("clock", {"sent": msg.data["sent"], "received": now}, msg.node_id)

    def _on_ready(self, msg: Any, **_: object) -> None:
        if why := msg.data.get("error"):
            self._say("refused", host=msg.data["host"], why=why)
            self._numbers.pop(msg.node_id, None)
            return
        self._ready.add(msg.node_id)
        number = self._numbers[msg.node_id]
        self._say("joined", worker=number, host=msg.data["host"], pid=msg.data["pid"],
                  clock_error_ns=msg.data["clock_error_ns"])  # fmt: skip

    def _report(self, client_id: str, data: Mapping[str, Any], **_: object) -> None:
        number, told = self._numbers.get(client_id), data.get("harness")
        if number is None or told is None:
            return
        self.progress.add(number, told["rows"], told["kinds"])
        self._state[client_id] = told

    def _on_final(self, msg: Any, **_: object) -> None:
        self._report(msg.node_id, {"harness": msg.data})
        self._final.add(msg.node_id)

    # -- the run --------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Until all are ready. Raises ServerError when they are not in time."""
        deadline = time.monotonic() + seconds
        while len(self._ready) < self._plan.workers:
            if time.monotonic() > deadline:
                have, want = len(self._ready), self._plan.workers
                raise ServerError(f"{have} of {want} workers joined within {seconds:g} s")
            gevent.sleep(0.02)

    def go(self, start_ns: int, due: Int64) -> None:
        """Tell everybody when the load begins, and which of its arrivals are theirs."""
        for node, number in self._numbers.items():
            mine = shapes.part(due, number, self._plan.workers)
            self._send("go", {"start_ns": start_ns, "due": mine.tobytes()}, node)

    def look(self) -> None:
        """Notice who is gone; Locust forgets those that it has stopped, so only while it runs."""
        if self._runner.state not in (runners.STATE_SPAWNING, runners.STATE_RUNNING):
            return
        for node, number in self._numbers.items():
            client = self._runner.clients.get(node)
            gone = client is None or client.state == runners.STATE_MISSING
            if gone and node not in self._lost:
                self._lose(node, number)

    def _lose(self, node: str, number: int) -> None:
        self._lost.add(node)
        self._say("worker_lost", worker=number, at_ns=time.monotonic_ns())

    @property
    def _present(self) -> set[str]:
        return set(self._numbers) - self._lost

    @property
    def alive(self) -> bool:
        """Whether anybody is left."""
        return bool(self._present)

    def drained(self) -> bool:
        """Whether no worker that is left has anything due or open."""
        return all(self._state.get(node, {}).get("drained") for node in self._present)

    def told(self, elapsed: float) -> dict[str, object]:
        """The state of all, as `Progress.told`."""
        states = [self._state.get(node, {}) for node in self._present]
        busy, waiting = (sum(s.get(key, 0) for s in states) for key in ("open", "waiting"))
        return self.progress.told(elapsed, self._runner.user_count, busy, waiting)

    def stop(self) -> None:
        """Nothing more is begun."""
        for node in self._present:
            self._send("stop", {}, node)

    def finish(self) -> None:
        """Have the last records of everybody who is left."""
        self.stop()
        deadline = time.monotonic() + self._plan.timeout + FINAL_S
        while self._present - self._final and time.monotonic() < deadline:
            gevent.sleep(0.02)
        for node in self._present - self._final:
            self._lose(node, self._numbers[node])


class Joined:
    """A worker's side."""

    def __init__(self, config: Config, say: Say) -> None:
        self._config, self._say = config, say
        self._recorder = Recorder()
        self._station: Station | None = None
        self._trips: list[tuple[int, int, int]] = []
        self.code: int | None = None
        """The exit code, once there is one."""
        self.environment = Environment(user_classes=[])
        self.environment.events.request.add_listener(self._recorder.on_request)  # type: ignore[no-untyped-call]
        self.environment.events.report_to_master.add_listener(self._report)  # type: ignore[no-untyped-call]
        host, _, port = config.address.rpartition(":")
        runner = self.environment.create_worker_runner(host.strip("[]"), int(port))
        self._runner: WorkerRunner = runner
        for name in ("refuse", "plan", "go", "stop"):
            listener = getattr(self, f"_{name}")
            runner.register_message(f"harness_{name}", listener, concurrent=True)
        runner.register_message("harness_clock", self._clock)
        self._send("join", {"version": __version__, "hash": config.scenario_hash, **_who()})

    def _send(self, name: str, data: Mapping[str, Any]) -> None:
        self._runner.send_message(f"harness_{name}", dict(data))

    @property
    def running(self) -> bool:
        """Whether Locust's own greenlets go on: they end when the master says so, or is gone."""
        return len(self._runner.greenlet) > 0

    def _refuse(self, msg: Any, **_: object) -> None:
        self._end(UsageError(f"the master refused this worker: {msg.data['why']}",
                             fix="use the same harness and the same scenario file"))  # fmt: skip

    def _end(self, error: Exception) -> None:
        fix = getattr(error, "fix", None)
        message = getattr(error, "message", None) or f"{type(error).__name__}: {error}"
        self._say("error", message=message, fix=fix, reason=getattr(error, "reason", "failed"))
        self.code = getattr(error, "exit_code", 1)

    def _plan(self, msg: Any, **_: object) -> None:
        try:
            plan = EnginePlan.from_json(msg.data["plan"])
            self._station = station_of(
                plan, msg.data["requests"], self._recorder, own=not plan.shape_of.locustfile
            )
            classes = user_classes(plan, self._station, self._config.locustfile)
        except Exception as error:
            self._send("ready", {"error": str(error), **_who()})
            self._end(error)
            return
        self.environment.user_classes = classes
        self.environment.stop_timeout = plan.timeout
        self._ready()

    def _ready(self) -> None:
        for _ in range(EXCHANGES):
            before = len(self._trips)
            self._send("clock", {"sent": time.monotonic_ns()})
            with gevent.Timeout(ANSWER_S, WorkerDiedError("the master answers no more")):
                while len(self._trips) == before:
                    gevent.sleep(0.001)
        best = min((exchange(s, r, r, b) for s, r, b in self._trips), key=lambda e: e.error_ns)
        self._recorder.offset_ns = best.offset_ns
        self._send("ready", {**_who(), "clock_error_ns": best.error_ns})
        self._say("ready", clock_offset_ns=best.offset_ns, clock_error_ns=best.error_ns)

    def _clock(self, msg: Any, **_: object) -> None:
        self._trips.append((msg.data["sent"], msg.data["received"], time.monotonic_ns()))

    def _go(self, msg: Any, **_: object) -> None:
        assert self._station is not None
        start = msg.data["start_ns"] - self._recorder.offset_ns
        self._station.begin(start, np.frombuffer(msg.data["due"], np.int64))

    def _stop(self, msg: Any, **_: object) -> None:
        assert self._station is not None
        self._station.finish()
        deadline = time.monotonic() + self._station.plan.timeout
        while not self._station.drained and time.monotonic() < deadline:
            gevent.sleep(0.01)
        self._send("final", self._told())

    def _told(self) -> dict[str, Any]:
        station = self._station
        arrivals = station.arrivals if station is not None else None
        return {
            "rows": self._recorder.take(), "kinds": self._recorder.kinds,
            "drained": station is not None and station.drained,
            "open": arrivals.open if arrivals else self._runner.user_count,
            "waiting": arrivals.waiting if arrivals else 0,
        }  # fmt: skip

    def _report(self, client_id: str, data: dict[str, Any], **_: object) -> None:
        data["harness"] = self._told()


def _who() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid()}


def work(config: Config, say: Say) -> int:
    """Join, and work until the master says it is over, or is gone; the exit code."""
    try:
        joined = Joined(config, say)
    except (Exception, SystemExit) as error:
        words = f"there is no master at {config.address}: {error or type(error).__name__}"
        say("error", message=words, fix="start it first: harness stress SCENARIO --master",
            reason="server")  # fmt: skip
        return 3
    while joined.code is None and joined.running:
        gevent.sleep(0.05)
    if joined.code:
        joined.environment.events.quitting.fire(environment=joined.environment, reverse=True)  # type: ignore[no-untyped-call]
        gevent.sleep(0.1)
    return joined.code or 0
