"""Parts of stress runs for tests: plans without a server, records, and Locust left unpatched.

Importing Locust patches the standard library for gevent, which no test process can have: modules
that import it are imported through `unpatched`, or run in processes of their own.
"""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from harness.backends.base import ServerAddress
from harness.results.samples import OK, Samples
from harness.scenario.reading.loader import LoadedScenario, load
from harness.stress.store import Outcome, StressRun
from harness.swarm.plan import EnginePlan
from harness.swarm.recorder import Merged
from harness.swarm.settings import Stress

LOCUSTFILE = """
import time
from locust import User, task

class Sleeper(User):
    @task
    def nap(self):
        began = time.perf_counter()
        time.sleep(0.01)
        self.environment.events.request.fire(
            request_type="nap", name="nap", response_length=0, exception=None, context={},
            response_time=(time.perf_counter() - began) * 1e3)
"""
SCENARIO = """
scenario: naps
model: {name: identity, source: {triton: identity}}
backends: [{kind: triton, protocol: http, server: {url: "127.0.0.1:1"}}]
stress:
  shape: {constant: {users: 4, duration: DURATION}}
  locustfile: naps.py
"""


def unpatched(module: str) -> ModuleType:
    """The module, with the standard library as it was."""
    os.environ["LOCUST_SKIP_MONKEY_PATCH"] = "1"
    try:
        return importlib.import_module(module)
    finally:
        del os.environ["LOCUST_SKIP_MONKEY_PATCH"]


def loaded(folder: Path, duration: str = "2s") -> LoadedScenario:
    """A scenario of users that sleep and need no server."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "naps.py").write_text(LOCUSTFILE, encoding="utf-8")
    path = folder / "naps.yaml"
    path.write_text(SCENARIO.replace("DURATION", duration), encoding="utf-8")
    return load(path)


def stress(**keys: Any) -> Stress:
    """The section, with a constant rate unless another shape is given."""
    shape = {"constant": {"rate": 10, "duration": "10s"}}
    return Stress.model_validate({"shape": shape, **keys})


def plan_of(scenario: LoadedScenario, workers: int = 1) -> EnginePlan:
    """The plan of `loaded`."""
    from harness.models.tensors import PreparedModel
    from harness.stress.execute import backend_of
    from harness.swarm.plan import make_plan

    model = PreparedModel("identity", {"triton": "identity"}, "key", (), ())
    server = ServerAddress("127.0.0.1:1", name="identity")
    return make_plan(scenario, backend_of(scenario)[1], model, server, workers)


def records(
    due: Any, latency_ms: Any, ok: Any = True, kind: str = "broken", start_s: float = 5.0
) -> Merged:
    """Requests that were due at these seconds after the load began, at `start_s` of the clock."""
    due_s = np.asarray(due, float)
    fine = np.broadcast_to(np.asarray(ok, bool), due_s.shape)
    scheduled = np.round((due_s + start_s) * 1e9).astype(np.int64)
    latency = np.round(np.broadcast_to(np.asarray(latency_ms, float), due_s.shape) * 1e6)
    done = scheduled + latency.astype(np.int64)
    status = np.where(fine, OK, 1).astype(np.uint8)
    samples = Samples(scheduled, scheduled.copy(), done, status, np.zeros(len(due_s), np.uint16))
    return Merged(samples, ("", kind), np.where(fine, 0, 1).astype(np.uint16))


def run_of(section: Stress, merged: Merged, seconds: float, **outcome: Any) -> StressRun:
    """A run of that section with these records."""
    manifest = {"scenario": {"scenario": "made", "measurement": {"seed": 0},
                             "stress": json.loads(section.model_dump_json())}}  # fmt: skip
    found = Outcome(status="complete", start_ns=5_000_000_000, seconds=seconds, **outcome)
    return StressRun(Path("/nowhere"), manifest, found, merged, [], {}, {})
