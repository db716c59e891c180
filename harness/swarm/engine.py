"""A load generator: Locust in a process of its own, alone, as master or as worker.

`python -m harness.swarm.engine CONFIG` (JSON, see `Config`) says what happens as lines of JSON on
stdout: `started`, `progress`, `worker_lost`, `refused`, `done`, `error`. A line `stop` on stdin
ends the load early, the end of stdin ends the process. Records go to FOLDER/worker-N.bin.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import gevent
import locust  # noqa: F401 - first: it patches the standard library for gevent
from locust import User, runners
from locust.env import Environment
from locust.exception import StopUser

from harness.errors import HarnessError
from harness.swarm import joining, shapes
from harness.swarm.load_shape import ScenarioShape
from harness.swarm.plan import PLAN, REQUESTS, Config, EnginePlan
from harness.swarm.progress import Progress
from harness.swarm.recorder import Recorder
from harness.swarm.users import Station, TritonUser, station_of, user_classes

LEAD_NS = 1_000_000_000
"""From the word to start until the first request is due: every user is there by then."""
SAY_S = 0.5
"""How often progress is told."""


def say(event: str, **more: object) -> None:
    """Tell the parent."""
    sys.stdout.write(json.dumps({"event": event, **more}) + "\n")
    sys.stdout.flush()


def environment_of(plan: EnginePlan, classes: list[type[User]], recorder: Recorder) -> Environment:
    """Locust's environment with our recorder in it."""
    environment = Environment(user_classes=classes, host=plan.host, stop_timeout=plan.timeout,
                              catch_exceptions=True)  # fmt: skip
    environment.events.request.add_listener(recorder.on_request)  # type: ignore[no-untyped-call]
    return environment


def watch_stdin(shape: ScenarioShape, stop: Callable[[], None]) -> None:
    """Greenlet: a line ends the load, with `stop`, the end of input the process."""
    pool = gevent.get_hub().threadpool
    while True:
        data = pool.apply(os.read, (0, 4096))
        if not data:
            os._exit(0)
        shape.stopped = True
        stop()


def local(config: Config, plan: EnginePlan, requests: bytes) -> None:
    """All in this process."""
    recorder = Recorder()
    station = station_of(plan, requests, recorder, own=not plan.shape_of.locustfile)
    environment = environment_of(plan, user_classes(plan, station), recorder)
    runner = environment.create_local_runner()
    shape = ScenarioShape(plan.shape_of, plan.timeout, lambda: station.drained)
    shape.runner = runner
    environment.shape_class = shape
    progress = Progress(Path(config.folder))
    gevent.spawn(watch_stdin, shape, station.finish)
    page = _page(environment, config.web)
    start = time.monotonic_ns() + LEAD_NS
    shape.begin(start)
    station.begin(start, shapes.schedule(plan.shape_of, plan.seed))
    say("started", at_ns=start, page=page, workers=1)
    runner.start_shape()
    while runner.state != runners.STATE_STOPPED:
        gevent.sleep(SAY_S)
        progress.add(0, recorder.take(), recorder.kinds)
        arrivals = station.arrivals
        waiting, busy = (arrivals.waiting, arrivals.open) if arrivals else (0, runner.user_count)
        say("progress", **progress.told(shape.elapsed, runner.user_count, busy, waiting))
    station.finish()
    progress.add(0, recorder.take(), recorder.kinds)
    say("done", seconds=min(shape.elapsed, shape.seconds), **progress.end())


def master(config: Config, plan: EnginePlan, requests: bytes) -> None:
    """Load is made by workers that join."""
    host, _, port = config.address.rpartition(":")
    environment = Environment(user_classes=[TritonUser], host=plan.host, stop_timeout=plan.timeout)
    station = Station(plan, Recorder())
    environment.user_classes = user_classes(plan, station)
    runner = environment.create_master_runner(host.strip("[]"), int(port))
    crew = joining.Crew(runner, plan, requests, Progress(Path(config.folder)), say)
    shape = ScenarioShape(plan.shape_of, plan.timeout, crew.drained)
    shape.runner = runner
    environment.shape_class = shape
    gevent.spawn(watch_stdin, shape, crew.stop)
    page = _page(environment, config.web)
    say("listening", address=config.address)
    due = shapes.schedule(plan.shape_of, plan.seed)
    crew.wait(config.join_s)
    start = time.monotonic_ns() + LEAD_NS
    shape.begin(start)
    crew.go(start, due)
    say("started", at_ns=start, page=page, workers=plan.workers)
    runner.start_shape()
    while runner.state != runners.STATE_STOPPED and crew.alive:
        gevent.sleep(SAY_S)
        crew.look()
        say("progress", **crew.told(shape.elapsed))
    crew.finish()
    environment.events.quitting.fire(environment=environment, reverse=True)  # type: ignore[no-untyped-call]
    say("done", seconds=min(shape.elapsed, shape.seconds), **crew.progress.end())


def _page(environment: Environment, port: int) -> str:
    """Start Locust's page; its address, or nothing."""
    if not port:
        return ""
    environment.create_web_ui("127.0.0.1", port)
    return f"http://127.0.0.1:{port}"


def main(text: str) -> int:
    """Run as what the configuration says; the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    runners.WORKER_REPORT_INTERVAL = SAY_S
    config = Config(**json.loads(text))
    try:
        if config.mode == "worker":
            return joining.work(config, say)
        folder = Path(config.folder)
        plan = EnginePlan.from_json((folder / PLAN).read_text(encoding="utf-8"))
        requests = (folder / REQUESTS).read_bytes()
        (local if config.mode == "local" else master)(config, plan, requests)
    except HarnessError as error:
        say("error", message=error.message, fix=error.fix, reason=error.reason)
        return error.exit_code
    except (StopUser, KeyboardInterrupt):
        return 130
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1])
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)  # gRPC's and gevent's own threads would keep the process
