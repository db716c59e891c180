"""Host memory and CPU of a process tree, and of everything else on the machine."""

from __future__ import annotations

import contextlib

import psutil

REFRESH_S = 0.5
"""How often the process trees are walked again; the known processes are read every time."""


class Tree:
    """A process and its descendants; CPU of processes that have ended stays counted."""

    def __init__(self, root: int, *, include_root: bool = False) -> None:
        self._root, self._include_root = root, include_root
        self._known: dict[int, psutil.Process] = {}
        self._cpu: dict[int, float] = {}
        self.refresh()

    @property
    def pids(self) -> set[int]:
        """Pids found at the last refresh."""
        return set(self._known)

    def refresh(self) -> None:
        """Walk the tree again."""
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self._root)
            found = {p.pid: p for p in root.children(recursive=True)}
            if self._include_root:
                found[root.pid] = root
            self._known = {pid: self._known.get(pid, p) for pid, p in found.items()}

    def read(self) -> tuple[float, float]:
        """Resident bytes now, and CPU seconds since the start of each process."""
        resident = 0.0
        for pid, process in self._known.items():
            with contextlib.suppress(psutil.Error), process.oneshot():
                resident += process.memory_info().rss
                times = process.cpu_times()
                self._cpu[pid] = times.user + times.system
        return resident, sum(self._cpu.values())


def busy_seconds() -> float:
    """CPU seconds that all processors together have been busy since boot."""
    times = psutil.cpu_times()
    return float(
        sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0)
    )
