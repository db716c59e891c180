"""The loop of a monitor: read, say, wait, until the time is over or somebody ends it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from harness.errors import HarnessError
from harness.monitor.rates import between
from harness.monitor.reading import Reader, Reading
from harness.monitor.record import Recorder
from harness.monitor.show import Display

SHORTEST = 0.2
"""An interval at the end that is shorter than this share of the others is not begun."""


@dataclass(slots=True)
class Watch:
    """A server, looked at every so many seconds; where it is shown and recorded."""

    reader: Reader
    display: Display
    every: float
    recorder: Recorder | None = None
    duration: float | None = None
    """Seconds; None: until Ctrl-C."""
    _before: Reading | None = None
    _gone: tuple[float, HarnessError] | None = None
    """Since when the server does not answer (time of day), and why."""

    def run(self, first: Reading, *, once: bool = False) -> None:
        """Say what the server does after `first`; `once`: for one interval.

        A server that goes away is waited for; one that is away at the end, or in that one
        interval, is the HarnessError that is raised. Ctrl-C ends it well: what was counted since
        the last interval is recorded before that.
        """
        self._before = first
        began = due = first.t_ns / 1e9
        end = began + (self.every if once else self.duration or float("inf"))
        try:
            while end - due > SHORTEST * self.every:
                due = min(due + self.every, end)
                time.sleep(max(0.0, due - time.monotonic()))
                self._look()
                due = max(due, time.monotonic() - self.every)  # what was missed is not made up for
        except KeyboardInterrupt:
            if self.recorder is not None and self._gone is None:
                self._look()
            return
        if self._gone is not None:
            raise self._gone[1]

    def _look(self) -> None:
        assert self._before is not None
        try:
            reading = self.reader.read()
        except HarnessError as error:
            self._gone = (self._gone or (time.time(), error))[0], error
            self.display.away(error, self._gone[0])
            return
        interval = between(self._before, reading, away=self._gone is not None)
        self._before, self._gone = reading, None
        if self.recorder is not None:
            self.recorder.add(interval)
        self.display.interval(interval, self.recorder.words if self.recorder is not None else "")
