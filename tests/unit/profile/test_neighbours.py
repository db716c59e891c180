"""Foreign load by counters that are known, and by the real ones while a neighbour works."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from harness.profile import neighbours
from harness.profile.neighbours import Neighbours


def test_a_neighbour_that_works_is_seen() -> None:
    spin = psutil.Popen([sys.executable, "-c", "while True: pass"])
    try:
        began = time.monotonic()
        with Neighbours() as seen:
            before = sum(spin.cpu_times()[:2])
            while (took := sum(spin.cpu_times()[:2]) - before) < 0.3:
                time.sleep(0.05)
        seconds = time.monotonic() - began
    finally:
        spin.kill()
        spin.wait()
    assert seen.cores > 0.5 * took / seconds  # which differ by ticks


def test_what_others_took_is_all_but_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    stat = tmp_path / "stat"
    clock, own = iter([10.0, 20.0]), iter([1.0, 5.0])
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    clocks = SimpleNamespace(monotonic=clock.__next__, process_time=own.__next__)
    monkeypatch.setattr(neighbours, "time", clocks)  # its own: other threads read the time too
    stat.write_text("cpu  100 0 0 9999 9999 0 0 0 50 0\ncpu0 1 1\n")
    with Neighbours(stat) as seen:
        stat.write_text("cpu  900 50 50 99999 99999 10 10 80 999 0\ncpu0 1 1\n")
    assert seen.cores == pytest.approx((10 - 4) / 10)
    assert seen.note(2).startswith("other processes took 0.6 of 2 processors")
    assert seen.note(64) == ""


def test_without_the_counters_nothing_is_said(tmp_path: Path) -> None:
    with Neighbours(tmp_path / "none") as seen:
        pass
    assert (seen.cores, seen.note(1)) == (0.0, "")
