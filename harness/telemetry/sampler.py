"""The sampler: a process of its own, so that reading never disturbs what is read.

`python -m harness.telemetry.sampler FILE OWNER_PID` takes one JSON command a line on stdin:
`{"watch": [pid, …], "gpu": "cuda:0", "itself": false, "keep": false}` sets the process trees to sum
over (with or without their roots) and the GPU to read, and drops what was read before;
`{"flush": true}` writes what was read and answers with the series' names; end of file ends it.
Readings go to FILE as `series.RECORD`.
"""

from __future__ import annotations

import json
import os
import select
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import psutil
from typing_extensions import TypedDict

from harness.results.series import RECORD, Quantity, Reading, SeriesKey
from harness.system.files import named
from harness.telemetry.host import REFRESH_S, Cpus, Tree
from harness.telemetry.nvml import NvmlGpu, open_gpu

HOST_HZ = 20.0
GPU_MEMORY_HZ = 200.0
"""At most: what lasts less than 5 ms between two readings is not seen."""
SLOW_HZ = 20.0
MOST_KEPT = 1 << 14
"""Records in memory, some two MiB: an hour's would be 90 MiB."""


class Command(TypedDict, total=False):
    """A line on stdin: `watch` and what belongs to it, or `flush`."""

    watch: list[int]
    gpu: str | None
    itself: bool
    keep: bool
    flush: bool


class Sampler:
    """Reads on a schedule; keeps the latest records until a flush, and writes older ones before."""

    def __init__(self, file: BinaryIO, owner: int) -> None:
        self._file = file
        self._found: dict[psutil.Process, float] = {}
        self._owner = Tree(owner, include_root=True, found=self._found)
        self._trees: list[Tree] = []
        self._cpus = Cpus()
        self._gpu: NvmlGpu | None = None
        self._device: str | None = None
        self._keys: dict[SeriesKey, int] = {}
        self._records: list[tuple[int, int, float]] = []
        self._most = MOST_KEPT
        self._next = {"host": 0.0, "gpu_memory": 0.0, "slow": 0.0, "refresh": 0.0}

    def watch(self, pids: Iterable[int], gpu: str | None = None, *, itself: bool = False) -> None:
        """From now on, sum over the descendants of `pids`, and read the GPU `gpu`.

        With `itself`, the processes `pids` count too.
        """
        if gpu != self._device:
            self._device, self._gpu = gpu, open_gpu(gpu)
        self._trees = [Tree(pid, include_root=itself, found=self._found) for pid in pids]
        self._next = dict.fromkeys(self._next, 0.0)

    def walk(self) -> None:
        """Have the next `tick` look for new processes: a model was loaded, say."""
        self._next["refresh"] = 0.0

    def forget(self) -> None:
        """Drop what was read, written or not."""
        self._records.clear()
        self._file.seek(0)
        self._file.truncate()

    def tick(self) -> float:
        """Take the readings that are due; seconds until the next."""
        periods = {"refresh": REFRESH_S, "host": 1 / HOST_HZ}
        if self._gpu is not None:
            periods |= {"gpu_memory": 1 / GPU_MEMORY_HZ, "slow": 1 / SLOW_HZ}
        now = time.monotonic()
        for name, period in periods.items():
            if now >= self._next[name]:
                t_ns = time.monotonic_ns()
                self._put(t_ns, getattr(self, f"_{name}")())
                self._next[name] = max(self._next[name] + period, now)
        return max(0.0, min(self._next[n] for n in periods) - time.monotonic())

    def _put(self, t_ns: int, readings: Iterable[Reading]) -> None:
        for key, value in readings:
            self._records.append((t_ns, self._keys.setdefault(key, len(self._keys)), value))
        if len(self._records) >= self._most:
            try:
                self._write()
            except OSError:  # the next flush says so
                self._most *= 2

    def _refresh(self) -> Iterator[Reading]:
        for tree in (self._owner, *self._trees):
            tree.refresh()
        yield from self._cpus.limits()

    def _host(self) -> Iterator[Reading]:
        both = [tree.read() for tree in self._trees]
        if both:
            yield SeriesKey(Quantity.HOST_BYTES), sum(resident for resident, _ in both)
            yield SeriesKey(Quantity.TREE_CPU_S), sum(cpu for _, cpu in both)
        self._owner.read()  # a server that is not ours is watched too: it is no foreign load
        ours = {p: s for tree in (self._owner, *self._trees) for p, s in tree.cpu.items()}
        yield SeriesKey(Quantity.RUN_CPU_S), sum(ours.values())
        yield from self._cpus.counters()
        yield SeriesKey(Quantity.SAMPLER_CPU_S), time.process_time()

    def _gpu_memory(self) -> Iterator[Reading]:
        assert self._gpu is not None
        mine = set[int]().union(*(tree.pids for tree in self._trees))
        yield from self._gpu.memory(mine, self._owner.pids)

    def _slow(self) -> Iterator[Reading]:
        assert self._gpu is not None
        yield from self._gpu.state()

    def flush(self) -> list[str]:
        """Write the records and return the series' names, by index."""
        self._write()
        return [str(key) for key in self._keys]

    def _write(self) -> None:
        with named(Path(self._file.name)):
            self._file.write(np.array(self._records, RECORD).tobytes())
            self._file.flush()
        self._records.clear()


def main(path: str, owner: int) -> None:
    """Sample until end of file on stdin."""
    os.set_blocking(0, False)
    pending = b""
    with open(path, "ab") as file:  # noqa: PTH123
        sampler = Sampler(file, owner)
        while True:
            if select.select([0], [], [], sampler.tick())[0]:
                chunk = os.read(0, 1 << 16)
                if not chunk:
                    sampler.flush()
                    return
                *lines, pending = (pending + chunk).split(b"\n")
                for line in lines:
                    _answer(sampler, json.loads(line))


def _answer(sampler: Sampler, command: Command) -> None:
    if "watch" in command:
        itself = command.get("itself", False)
        if not command.get("keep", False):
            sampler.forget()
        sampler.watch(command["watch"], command.get("gpu"), itself=itself)
    sampler.walk()
    sampler.tick()
    try:
        answer: dict[str, object] = {"series": sampler.flush()}
    except OSError as error:
        from harness.system.faults import known

        answer = {"failed": known(error).message}
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
