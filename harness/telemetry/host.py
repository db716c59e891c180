"""Host memory and CPU of a process tree, and of everything else on the machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from harness.results.series import Quantity, Reading, SeriesKey
from harness.system.machine import ROOT, core_of, cpu_quota, group_usage

TICKS = os.sysconf("SC_CLK_TCK")
"""Of /proc/stat, a second."""
REFRESH_S = 0.5
"""How often the process trees are walked again; the known processes are read every time."""


class Tree:
    """A process and its descendants; CPU of processes that have ended stays counted.

    What a process used until a later walk found it is not: counted then, it would lie in a window
    that it was not used in. `found` has that, by process; trees that overlap share it.
    """

    def __init__(
        self, root: int, *, include_root: bool = False,
        found: dict[psutil.Process, float] | None = None,
    ) -> None:  # fmt: skip
        self._root, self._include_root = root, include_root
        self._found = {} if found is None else found
        self._known: dict[int, psutil.Process] = {}
        self._cpu: dict[psutil.Process, float] = {}
        self.refresh(0.0)

    @property
    def pids(self) -> set[int]:
        """Pids found at the last refresh."""
        return set(self._known)

    @property
    def cpu(self) -> Mapping[psutil.Process, float]:
        """CPU seconds by process, as of the last `read`."""
        return self._cpu

    def refresh(self, used: float | None = None) -> None:
        """Walk the tree again. What is new used so many seconds before that do not count; None:
        all until now.
        """
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._root)
            found = {p.pid: p for p in root.children(recursive=True)}
            if self._include_root:
                found[root.pid] = root
            self._known = {pid: self._known.get(pid, p) for pid, p in found.items()}
        for process in set(self._known.values()) - self._found.keys():
            with contextlib.suppress(psutil.Error):
                self._found[process] = _seconds(process) if used is None else used

    def read(self) -> tuple[float, float]:
        """Resident bytes now, and CPU seconds since each process was found."""
        resident = 0.0
        for process in self._known.values():
            with contextlib.suppress(psutil.Error), process.oneshot():
                resident += process.memory_info().rss
                self._cpu[process] = _seconds(process) - self._found.get(process, 0.0)
        return resident, sum(self._cpu.values())


def _seconds(process: psutil.Process) -> float:
    """Of CPU, since its start."""
    times = process.cpu_times()
    return float(times.user + times.system)


class Cpus:
    """The processors that this process may use: those of its affinity, which a cpuset narrows too,
    and of their time what the quotas of its control groups leave. The other threads of their cores
    are watched with them: what runs there takes their units.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._root, self._usable = root, os.sched_getaffinity(0)
        self._watched = frozenset[int]().union(*(core_of(n, root) for n in self._usable))
        self._group = cpu_quota(root)

    def counters(self) -> Iterator[Reading]:
        """What only grows: seconds of the processors, and of the group that has the quota."""
        busy, stolen = self._seconds()
        yield SeriesKey(Quantity.MACHINE_CPU_S), busy
        yield SeriesKey(Quantity.MACHINE_STEAL_S), stolen
        if self._group is None:
            return
        used = group_usage(self._group[0])
        for quantity, name in (
            (Quantity.GROUP_CPU_S, "usage_s"), (Quantity.GROUP_PERIODS, "nr_periods"),
            (Quantity.GROUP_THROTTLED, "nr_throttled"),
        ):  # fmt: skip
            if name in used:
                yield SeriesKey(quantity), used[name]

    def _seconds(self) -> tuple[float, float]:
        """Busy and stolen seconds since boot; of all processors where they are not told apart."""
        found: dict[str, list[int]] = {}
        for line in (self._root / "proc/stat").read_text().splitlines():
            name, *ticks = line.split()
            if name.startswith("cpu"):
                found[name.removeprefix("cpu")] = [int(t) for t in ticks]
        rows = [found[n] for n in map(str, self._watched) if n in found] or [found[""]]
        user, nice, system, _, _, irq, soft, steal = (
            sum(column) / TICKS for column in zip(*(row[:8] for row in rows), strict=True)
        )
        return user + nice + system + irq + soft, steal

    def limits(self) -> Iterator[Reading]:
        """How many there are, what the quota allows, and how fast they run."""
        yield SeriesKey(Quantity.MACHINE_CPUS), float(len(self._usable))
        if self._group is not None:
            yield SeriesKey(Quantity.GROUP_CPUS), self._group[1]
        with contextlib.suppress(OSError, NotImplementedError):
            if (clock := psutil.cpu_freq()) is not None and clock.current:
                yield SeriesKey(Quantity.CPU_MHZ), float(clock.current)
