"""The loop, over readings that are written down; a real server is in tests/integration."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from support.intervals import ZERO, reading

from harness.errors import HarnessError, ServerError
from harness.monitor.rates import Interval
from harness.monitor.reading import Reader, Reading
from harness.monitor.record import Recorder
from harness.monitor.watch import Watch

GONE = ServerError("nobody there")


class Scripted:
    """Gives readings, or raises, one after another; then it is as Ctrl-C."""

    def __init__(self, *script: Reading | HarnessError) -> None:
        self._left = list(script)

    def read(self) -> Reading:
        if not self._left:
            raise KeyboardInterrupt
        found = self._left.pop(0)
        if isinstance(found, HarnessError):
            raise found
        return found


class Kept:
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.intervals: list[Interval] = []
        self.gone: list[float] = []

    def interval(self, interval: Interval, note: str = "") -> None:
        self.intervals.append(interval)

    def away(self, error: HarnessError, since: float) -> None:
        self.gone.append(since)


def at(t: float, count: float) -> Reading:
    return reading(t, a={**ZERO, "count": count})


def watch(display: Kept, *script: Reading | HarnessError, duration: float | None = None) -> Watch:
    return Watch(cast(Reader, Scripted(*script)), display, 1e-3, duration=duration)


def test_ctrl_c_is_a_good_end() -> None:
    display = Kept()
    watch(display, at(1, 5), at(2, 9)).run(at(0, 2))
    assert [i.models["a"] and i.models["a"].requests for i in display.intervals] == [3, 4]


def test_after_an_absence_nothing_is_known_of_it() -> None:
    display = Kept()
    watch(display, at(1, 5), GONE, GONE, at(4, 900), at(5, 901)).run(at(0, 2))
    known = [i.models["a"] and i.models["a"].requests for i in display.intervals]
    assert known == [3, None, 1]
    assert display.intervals[1].seconds == 3
    assert len(display.gone) == 2
    assert display.gone[0] == display.gone[1]


def test_a_server_that_is_away_at_the_end_is_the_error() -> None:
    display = Kept()
    with pytest.raises(ServerError, match="nobody there"):
        watch(display, GONE).run(at(0, 2), once=True)
    assert display.intervals == []


def test_what_ctrl_c_interrupts_is_recorded(tmp_path: Path) -> None:
    class Interrupted(Scripted):
        interrupted = False

        def read(self) -> Reading:
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt
            return super().read()

    display = Kept()
    with Recorder(tmp_path / "t", "a", "s") as recorder:
        reader = cast(Reader, Interrupted(at(2, 9)))
        Watch(reader, display, 1e-3, recorder).run(at(0, 2))
    assert recorder.requests == 7
    assert len(display.intervals) == 1
