"""The parent's end of the sampler: what to watch, and the readings of a window."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from harness.errors import HarnessError
from harness.results.series import SeriesKey, TelemetrySeries, read, records_of, write_parquet
from harness.system.environment import child_env, module_command
from harness.system.guard import spawn

if TYPE_CHECKING:
    from harness.telemetry.remote import RemoteTelemetry
    from harness.telemetry.sampler import Command


class Telemetry:
    """A running sampler; `series` are the readings since the last `watch`.

    A sampler that fails never fails the run: its readings are missing, and `problem` says why.
    """

    def __init__(self, raw: Path, log: Path) -> None:
        self._raw = raw
        self.problem = ""
        self._remote: RemoteTelemetry | None = None
        ours, theirs = os.pipe()
        self._answers, answers = os.pipe()
        argv = [*module_command("harness.telemetry.sampler"), str(raw), str(os.getpid())]
        with log.open("ab") as errors:
            self._process = spawn(
                argv, stdin=ours, stdout=answers, stderr=errors, env=child_env({})
            )
        os.close(ours)
        os.close(answers)
        self._commands = theirs
        self._reader = os.fdopen(self._answers, encoding="utf-8")
        self._offset = 0

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
        return with_server(here, there, int(self._remote.about.get("cores") or 1))

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
            os.write(self._commands, json.dumps(command).encode() + b"\n")
            line = self._reader.readline()
            names: list[str] = json.loads(line)["series"] if line else []
            if not line:
                raise HarnessError("the telemetry sampler ended")
            return names
        except (OSError, HarnessError) as error:
            self.problem = f"no telemetry: {error}"
            return []

    def close(self) -> None:
        """End the sampler."""
        os.close(self._commands)
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
            self._reader.close()
            self._raw.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
