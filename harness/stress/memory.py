"""Memory of each process of the server's tree and of the harness, once a second."""

from __future__ import annotations

import os
import threading
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import psutil
import pyarrow as pa

from harness.results import tables
from harness.results.samples import Int64
from harness.telemetry.host import Tree

EVERY_S = 1.0
HARNESS = "harness"
"""The name under which this process and all it started, but for the server, are summed up."""


@dataclass(frozen=True, slots=True)
class ProcessMemory:
    """Resident bytes of one process, in order of time; arrays of shape (readings,)."""

    name: str
    """Like `tritonserver 1234`; `harness` for our own processes together."""
    t_ns: Int64
    resident: Int64


class MemoryWatch:
    """A thread that reads until it is closed. `server` gives the pid of the server, if any."""

    def __init__(self, server: Callable[[], int | None], every: float = EVERY_S) -> None:
        self._server, self._every = server, every
        self._stop = threading.Event()
        self._readings: defaultdict[str, array[int]] = defaultdict(lambda: array("q"))
        """By the process's name: t_ns and resident bytes by turns."""
        self._names: dict[int, str] = {}
        self._thread = threading.Thread(target=self._run, daemon=True, name="memory")

    def _run(self) -> None:
        while not self._stop.wait(self._every):
            self.read()

    def read(self) -> None:
        """One reading of every process, at the moment when the last of them was read: then what
        has ended meanwhile is not taken for a part of the load.
        """
        pid, total, found = self._server(), 0, dict[str, int]()
        theirs = set() if pid is None else Tree(pid, include_root=True).pids
        ours = Tree(os.getpid(), include_root=True).pids - theirs
        for number in (*theirs, *ours):
            try:
                process = psutil.Process(number)
                resident = int(process.memory_info().rss)
                if number in theirs:
                    name = self._names.setdefault(number, f"{process.name()} {number}")
                    found[name] = resident
                else:
                    total += resident
            except psutil.Error:  # it ended meanwhile
                continue
        now = time.monotonic_ns()
        for name, resident in {**found, HARNESS: total}.items():
            self._readings[name].extend((now, resident))

    def save(self, path: Path) -> None:
        """Write all readings as Parquet: t_ns, process, resident (bytes)."""
        names = [name for name, found in self._readings.items() for _ in found[::2]]
        both = np.array([n for found in self._readings.values() for n in found], np.int64)
        columns = [both[::2], pa.array(names, pa.string()), both[1::2]]
        tables.write_table(path, pa.table(columns, _schema()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def _schema() -> pa.Schema:
    return pa.schema({"t_ns": pa.int64(), "process": pa.string(), "resident": pa.int64()})


def read_memory(path: Path) -> list[ProcessMemory]:
    """Read what `save` wrote, a process at a time. Raises RunDirectoryError where it is damaged."""
    table = tables.read_table(path, _schema())
    names = np.array(table["process"].to_pylist(), object)
    t_ns, resident = tables.values(table["t_ns"]), tables.values(table["resident"])
    return [
        ProcessMemory(name, t_ns[names == name], resident[names == name])
        for name in dict.fromkeys(names.tolist())
    ]
