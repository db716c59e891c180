"""Records as they come in: on disk, and summed up."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.results.samples import ERROR, OK
from harness.swarm.progress import Progress, read_records
from harness.swarm.recorder import Recorder, Times, merge

MS = 1_000_000


def test_what_was_told_is_on_disk_and_in_the_totals(tmp_path: Path) -> None:
    recorder, progress = Recorder(), Progress(tmp_path)
    recorder.add(Times(0, 0, 10 * MS, OK))
    recorder.add(Times(0, 0, 20 * MS, OK))
    progress.add(0, recorder.take(), recorder.kinds)
    told = progress.told(1.0, 2, 1, 0)
    assert (told["requests"], told["failures"], told["new"]) == (2, 0, 2)
    assert told["p50_ms"] == pytest.approx(10)
    recorder.add(Times(0, 0, 30 * MS, ERROR), "why")
    progress.add(0, recorder.take(), recorder.kinds)
    told = progress.told(1.5, 2, 1, 0)
    assert (told["requests"], told["failures"], told["new"], told["p50_ms"]) == (3, 1, 1, None)
    assert progress.end() == {"requests": 3, "failures": 1, "workers": [0]}
    merged = merge(read_records(tmp_path))
    assert len(merged.samples) == 3
    assert merged.samples.messages == {"why": 1}


def test_p99_is_of_the_latest_requests_when_they_are_enough_for_it(tmp_path: Path) -> None:
    progress = Progress(tmp_path)

    def told(times: int, ms: int, status: int = OK) -> object:
        recorder = Recorder()
        for _ in range(times):
            recorder.add(Times(0, 0, ms * MS, status))
        progress.add(0, recorder.take(), recorder.kinds)
        return progress.told(1.0, 2, 1, 0)["p99_ms"]

    assert told(90, 10) is None
    assert told(572, 20) == pytest.approx(20)  # 662 of them
    assert told(1100, 30) == pytest.approx(30)  # those of before are not among the latest
    assert told(20, 10, ERROR) is None  # failures are slower than everything


def test_nothing_new_has_no_percentile(tmp_path: Path) -> None:
    assert Progress(tmp_path).told(0.0, 0, 0, 0)["p50_ms"] is None
