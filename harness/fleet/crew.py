"""The processes of the lanes: each is a `harness run --shard` of its own, under a guard.

A lane's fault stays in it. Its processes run on its processors, and see its GPU alone; when this
process ends, by whatever means, the guards end them.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, get_args

from harness.errors import WorkerDiedError
from harness.fleet.devices import Lane, gone
from harness.fleet.sources import LANES
from harness.results.events import Event
from harness.run.shard import Shard
from harness.run.turns import VARIABLE
from harness.system.child import Child

GRACE_S = 30.0
"""How long a lane that is to end may take to write what it has."""
LOOK_S = 0.3
GPU_S = 5.0
"""How often the GPUs are asked whether they are still there."""
KINDS: Mapping[str, type[Event]] = {cls.EVENT: cls for cls in get_args(Event)}


def read_live(line: bytes) -> Event | None:
    """An event as `harness run --json` prints it; None for a line that is none."""
    with contextlib.suppress(ValueError, TypeError):
        found = json.loads(line)
        cls = KINDS.get(found.get("event", "")) if isinstance(found, dict) else None
        return cls.from_event(found) if cls is not None else None
    return None


class Crew:
    """The lanes of one run at work. A context manager that ends them all."""

    def __init__(
        self, lanes: Sequence[Lane], directory: Path, arguments: Sequence[str],
        part: Shard | None, turns: Path | None = None,
    ) -> None:  # fmt: skip
        """`arguments` are those of `harness run` that all lanes have; `part` is what the lanes
        share out among them, None where each does everything. `turns` lists the points that are
        measured one at a time.
        """
        shared = {VARIABLE: str(turns.resolve())} if turns is not None else {}
        self._queue: queue.Queue[tuple[Lane, Event | None]] = queue.Queue()
        self._ended: dict[int, str] = {}
        self._children: dict[int, Child] = {}
        self._threads: list[threading.Thread] = []
        self._lanes, self._asked = lanes, time.monotonic()
        for lane in lanes:
            shard = Shard() if part is None else shard_of_lane(lane, len(lanes), part)
            folder = directory / LANES / str(lane.number)
            argv = ["run", *arguments, "--shard", str(shard), "--json", "--no-report",
                    "--output", str(folder)]  # fmt: skip
            log = directory / "logs" / f"lane-{lane.number}.log"
            with on_processors(lane.cpus):
                self._children[lane.number] = Child(
                    f"the lane of {lane.device}",
                    "harness",
                    argv,
                    log=log,
                    env={**lane.env, **shared},
                )
            thread = threading.Thread(target=self._read, args=(lane,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _read(self, lane: Lane) -> None:
        """Take what a lane prints until it ends; in a thread of its own."""
        child = self._children[lane.number]
        try:
            while True:
                if (line := child.line(LOOK_S)) is not None and (event := read_live(line)):
                    self._queue.put((lane, event))
        except WorkerDiedError as error:
            self._ended.setdefault(lane.number, error.message)
        except Exception as error:  # its pipe was closed under us: it is being ended
            self._ended.setdefault(lane.number, f"the lane of {lane.device} was ended: {error}")
        self._queue.put((lane, None))

    def events(self, check: Callable[[], None]) -> Iterator[tuple[Lane, Event]]:
        """What the lanes do, until all have ended; `check` is called at each step."""
        left = {lane.number for lane in self._lanes}
        while left:
            check()
            self._look_at_gpus()
            with contextlib.suppress(queue.Empty):
                lane, event = self._queue.get(timeout=LOOK_S)
                if event is None:
                    left.discard(lane.number)
                else:
                    yield lane, event

    def _look_at_gpus(self) -> None:
        """End the lanes whose GPU has gone: they would only wait for it."""
        if time.monotonic() - self._asked < GPU_S:
            return
        self._asked = time.monotonic()
        for lane in self._lanes:
            if lane.uuid and lane.number not in self._ended and (why := gone(lane.uuid)):
                self._ended[lane.number] = f"the GPU {lane.device} ({lane.uuid}) is gone: {why}"
                self._children[lane.number].process.terminate(GRACE_S)

    def why_ended(self, lane: Lane) -> str:
        """How a lane ended, in words."""
        return self._ended.get(lane.number, f"the lane of {lane.device} did not begin")

    def end(self) -> None:
        """Have every lane write what it has and end; kill those that don't."""
        enders = [
            threading.Thread(target=child.process.terminate, args=(GRACE_S,))
            for child in self._children.values()
        ]  # fmt: skip
        for thread in enders:
            thread.start()
        for thread in enders:
            thread.join()
        for thread in self._threads:
            thread.join(GRACE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        for child in self._children.values():
            child.kill()


def shard_of_lane(lane: Lane, count: int, part: Shard) -> Shard:
    """The shard that a lane measures, of what all lanes of all machines do."""
    return Shard(part.index * count + lane.number, part.count * count)


@contextlib.contextmanager
def on_processors(cpus: Sequence[int]) -> Iterator[None]:
    """What this thread starts runs on these processors, and only there."""
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
        yield
    finally:
        os.sched_setaffinity(0, before)
