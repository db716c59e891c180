"""What other processes took of the host's processors meanwhile, by the kernel's own counters."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Self

BUSY = (0, 1, 2, 5, 6, 7)
"""In proc(5)'s `cpu` line: user, nice, system, irq, softirq, steal; a guest is in user already."""
OTHERS_TOOK = "other processes took"
WORTH_SAYING = 0.05
"""Of the processors."""


class Neighbours:
    """A context manager; after it, `cores` is what others took on average, steal included."""

    def __init__(self, stat: Path = Path("/proc/stat")) -> None:
        self._stat, self.cores = stat, 0.0
        self._begin = (0.0, 0.0, 0.0)

    def _now(self) -> tuple[float, float, float]:
        """Seconds: of the clock, that all processors were busy, and that this process took."""
        try:
            fields = self._stat.read_text().split("\n", 1)[0].split()[1:]
            busy = sum(int(fields[i]) for i in BUSY) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            busy = 0.0
        return time.monotonic(), busy, time.process_time()

    def note(self, processors: int) -> str:
        """What is to be said of it; empty where they took little."""
        if self.cores < WORTH_SAYING * processors:
            return ""
        return f"{OTHERS_TOOK} {self.cores:.1f} of {processors} processors meanwhile"

    def __enter__(self) -> Self:
        self._begin = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        wall, busy, own = (b - a for a, b in zip(self._begin, self._now(), strict=True))
        self.cores = max(0.0, (busy - own) / wall) if wall > 0 else 0.0
