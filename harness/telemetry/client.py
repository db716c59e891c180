"""The parent's end of the sampler: what to watch, and the readings of a window."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from harness.errors import DeadlineError, HarnessError, SetupError
from harness.results.series import SeriesKey, TelemetrySeries, read, records_of, write_parquet
from harness.system.child import Child

if TYPE_CHECKING:
    from harness.telemetry.remote import RemoteTelemetry
    from harness.telemetry.sampler import Command

ANSWER_S = 10.0
"""How long the sampler may take to answer; it takes milliseconds."""


class Telemetry(AbstractContextManager["Telemetry"]):
    """A running sampler; `read` gives the readings since the last `watch`.

    A sampler that fails never fails the run: its readings are missing, and `problem` says why until
    the next `watch`, which starts another.
    """

    def __init__(self, raw: Path, log: Path) -> None:
        self._raw, self._log = raw, log
        self.problem = ""
        self._remote: RemoteTelemetry | None = None
        self._sampler = self._start()

    def _start(self) -> Child:
        module, arguments = "harness.telemetry.sampler", [str(self._raw), str(os.getpid())]
        return Child("the telemetry sampler", module, arguments, log=self._log)

    def watch(
        self, pids: Sequence[int], gpu: str | None = None, *, itself: bool = False,
        keep: bool = False, remote: RemoteTelemetry | None = None,
    ) -> None:  # fmt: skip
        """Sum over the process trees below `pids` from now on, and forget earlier readings.

        `gpu` is the device whose readings are wanted, as scenarios spell it; None for none.
        `itself` counts the `pids` too: without it they are taken for guards, which are ours.
        `keep` keeps the earlier readings: other processes, the same story. `remote` is where the
        server's readings come from when it is on another host; it is the caller's to close.
        """
        self._remote = remote
        self.problem = ""
        if not self._sampler.alive:
            self._sampler.kill()
            self._sampler, keep = self._start(), False
        if not keep:
            self._raw.write_bytes(b"")  # the sampler appends, so it goes on from the start
        self._ask({"watch": list(pids), "gpu": gpu, "itself": itself, "keep": keep})

    def read(self) -> dict[SeriesKey, TelemetrySeries]:
        """All readings since `watch`."""
        here = read(self._raw, self._ask({"flush": True}))
        if self._remote is None:
            return here
        from harness.telemetry.remote import with_server

        there = self._remote.read()
        self.problem = self.problem or self._remote.problem
        return with_server(here, there, self._remote.about["cores"])

    @property
    def clock(self) -> dict[str, int] | None:
        """How the clock of the server's host was aligned (ns); None for readings of this one."""
        return None if self._remote is None else self._remote.clock

    def drain(self) -> tuple[list[str], NDArray[np.void]]:
        """The series' names, and the records (`series.RECORD`) since the last call, taken out."""
        names = self._ask({"flush": True})
        raw = self._raw.read_bytes() if self._raw.exists() else b""
        self._raw.write_bytes(b"")
        return names, records_of(raw)

    def save(self, path: Path) -> None:
        """Write the readings since `watch` as Parquet."""
        write_parquet(path, self.read())

    def _ask(self, command: Command) -> list[str]:
        try:
            self._sampler.send(json.dumps(command).encode() + b"\n", ANSWER_S)
            line = self._sampler.line(ANSWER_S)
            if line is None:
                raise DeadlineError(f"{self._sampler.title} gave no answer for {ANSWER_S:g} s")
            answer = json.loads(line)
            if "failed" in answer:
                raise SetupError(answer["failed"])
            names: list[str] = answer["series"]
            return names
        except (HarnessError, ValueError, KeyError, TypeError) as error:
            self._sampler.kill()  # `watch` starts another
            self.problem = f"no telemetry: {error}"
            return []

    def close(self) -> None:
        """End the sampler."""
        self._sampler.kill()
        self._raw.unlink(missing_ok=True)

    def __exit__(self, *_: object) -> None:
        self.close()
