"""The parent's end of the load generators: Locust in processes of its own, started and heard."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from harness.errors import HarnessError, MissingPackageError, WorkerDiedError, from_reason
from harness.models.tensors import Tensors
from harness.swarm.plan import PLAN, REQUESTS, Config, EnginePlan, pack
from harness.system.child import Child
from harness.system.environment import worker_env
from harness.system.files import write_text
from harness.system.packages import how_to_install
from harness.triton.server.ports import HOST, choose

LOOK_S = 0.25


@dataclass(frozen=True, slots=True)
class Where:
    """Who makes the load: this host's processes, or workers that join from others."""

    workers: int = 1
    master: str = ""
    """host:port on which to wait for them; empty for processes of our own."""
    web: int = 0
    """Port of Locust's page on 127.0.0.1; 0 for none."""
    join_s: float = 120.0


def require_engine() -> None:
    """Raises MissingPackageError without Locust, which is not imported here: with it gevent would
    make greenlets of all threads of this process.
    """
    if find_spec("locust") is None:
        raise MissingPackageError("locust is not installed", fix=how_to_install("locust"))


class Generator:
    """A context manager; iterate over `events` until `done`."""

    def __init__(
        self, plan: EnginePlan, inputs: Sequence[Tensors], where: Where, *, folder: Path,
        logs: Path, base: Path,
    ) -> None:  # fmt: skip
        self._logs, self._base = logs, base
        self._children: dict[int, Child] = {}
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PLAN, plan.to_json())
        (folder / REQUESTS).write_bytes(pack(inputs))
        alone = where.workers == 1 and not where.master
        address = where.master or ("" if alone else f"{HOST}:{choose({})['http']}")
        config = Config("local" if alone else "master", str(folder), address, web=where.web,
                        join_s=where.join_s)  # fmt: skip
        self._own = 0 if alone or where.master else where.workers
        self._plan = plan
        self._engine = self._start(config, "locust.log")
        self._address = address

    def _start(self, config: Config, log: str) -> Child:
        return Child(
            "the load generator", "harness.swarm.engine", [json.dumps(asdict(config))],
            log=self._logs / log, env=worker_env(self._base),
        )  # fmt: skip

    def pids(self) -> dict[int, int]:
        """Of our own workers, by number of start: the guards'."""
        return {number: child.pid for number, child in self._children.items()}

    def events(self) -> Iterator[dict[str, Any]]:
        """What the generator says, to the end; an empty one at least four times a second.

        Raises what the generator reports, WorkerDiedError where it ended by itself.
        """
        waiting = True
        while True:
            line = self._engine.line(LOOK_S)
            event: dict[str, Any] = json.loads(line) if line else {}
            if event.get("event") == "error":
                raise error_of(event)
            if event.get("event") == "listening":
                self._start_workers()
            waiting = waiting and event.get("event") != "started"
            for child in self._children.values() if waiting else ():
                if child.process.poll() is not None:
                    raise child.died()
            yield event
            if event.get("event") == "done":
                return

    def _start_workers(self) -> None:
        for number in range(self._own):
            config = Config("worker", address=self._address, scenario_hash=self._plan.scenario_hash)
            self._children[number] = self._start(config, f"worker-{number}.log")

    def stop(self) -> None:
        """End the load early: what is open is still waited for."""
        with contextlib.suppress(HarnessError):
            self._engine.send(b"stop\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in (*self._children.values(), self._engine):
            child.kill()


def error_of(event: Mapping[str, Any]) -> HarnessError:
    """The exception that a generator told of."""
    return from_reason(str(event["reason"]), str(event["message"]), event.get("fix"))


def work_for(address: str, scenario_hash: str, locustfile: str, base: Path, log: Path) -> int:
    """Be a worker of the master at `address` until it is over: the exit code.

    Raises what the worker reports: ServerError where there is no master, UsageError where it was
    refused.
    """
    config = Config("worker", address=address, scenario_hash=scenario_hash, locustfile=locustfile)
    with Child("the worker", "harness.swarm.engine", [json.dumps(asdict(config))], log=log,
               env=worker_env(base)) as child:  # fmt: skip
        while True:
            try:
                line = child.line(1.0)
            except WorkerDiedError:
                status = child.process.poll()
                if status == 0:
                    return 0
                raise
            if line and (event := json.loads(line)).get("event") == "error":
                raise error_of(event)
