"""What the load has done so far, from the records as they come in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.measure.quantiles import percentile, percentiles
from harness.results.samples import OK
from harness.swarm.recorder import rows_of
from harness.system.files import read_bytes

LATEST = 1024
"""Requests that the p99 of a running load is of."""


class Progress:
    """Appends each worker's records to FOLDER/worker-N.bin, and sums them up.

    A record that was told is on disk: what a worker or this process does later can't undo it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._kinds: dict[int, list[str]] = {}
        self.requests = self.failures = 0
        self._new: list[bytes] = []
        self._latest = rows_of(b"")

    def add(self, worker: int, data: bytes, kinds: list[str]) -> None:
        """Take in what a worker recorded since its last report."""
        self._kinds.setdefault(worker, [""])
        if not data:
            return
        with (self._folder / f"worker-{worker}.bin").open("ab") as file:
            file.write(data)
        if kinds != self._kinds[worker]:
            self._kinds[worker] = list(kinds)
            text = json.dumps(kinds)
            (self._folder / f"worker-{worker}.kinds.json").write_text(text, encoding="utf-8")
        rows = rows_of(data)
        self.requests += len(rows)
        self.failures += int(np.count_nonzero(rows[:, 3] != OK))
        self._new.append(data)

    def told(self, elapsed: float, users: int, busy: int, waiting: int) -> dict[str, object]:
        """The state now: totals, the median of what was added since the last call, and p99 of the
        latest requests, where they are enough for it (ms). None where it is among the failures.
        """
        rows, self._new = rows_of(b"".join(self._new)), []
        ok = rows[:, 3] == OK
        times = np.sort((rows[:, 2] - rows[:, 0])[ok])
        failed = int(len(rows) - ok.sum())
        self._latest = np.concatenate([self._latest, rows])[-LATEST:]
        latest = self._latest
        tail = percentiles(latest[:, 2] - latest[:, 0], latest[:, 3] != OK)["p99"]
        p50 = percentile(times, failed, 0.5) / 1e6 if len(rows) else None
        found: dict[str, object] = {
            "t": round(elapsed, 3), "users": users, "open": busy, "waiting": waiting,
            "requests": self.requests, "failures": self.failures, "new": len(rows),
            "new_failures": failed, "latest": len(latest),
        }  # fmt: skip
        for name, value in (("p50_ms", p50), ("p99_ms", tail)):
            found[name] = None if value is None or np.isinf(value) else round(value, 3)
        return found

    def end(self) -> dict[str, object]:
        """The totals."""
        return {"requests": self.requests, "failures": self.failures,
                "workers": sorted(self._kinds)}  # fmt: skip


def read_records(folder: Path) -> dict[int, tuple[bytes, list[str]]]:
    """What every worker recorded, by its number: as far as it was written."""
    found = {}
    for path in sorted(folder.glob("worker-*.bin")):
        number = int(path.stem.removeprefix("worker-"))
        kinds = path.with_suffix(".kinds.json")
        names = json.loads(read_bytes(kinds)) if kinds.exists() else [""]
        found[number] = read_bytes(path), list(names)
    return found
