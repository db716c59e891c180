"""The directory of a stress run: written, read back, read where it was cut short."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.stress import loaded, records

from harness.errors import RunDirectoryError
from harness.results.manifest import make_manifest
from harness.results.store import RunStore
from harness.stress.progress import Progress
from harness.stress.recorder import Recorder, Times
from harness.stress.store import Outcome, is_stress, read_stress, write_requests


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = loaded(tmp_path)
    path = tmp_path / "run"
    RunStore.create(path, make_manifest(found.scenario, found.text, found.path, [])).close()
    Outcome(status="complete", seconds=2.0, faults=[{"kind": "kill"}]).save(path)
    return path


def test_all_requests_come_back_with_what_went_wrong(directory: Path) -> None:
    ok = np.arange(50) % 7 > 0
    write_requests(directory, records(np.arange(50), 5.0, ok), {"clock": "monotonic"})
    run = read_stress(directory)
    assert (run.outcome.status, run.outcome.faults) == ("complete", [{"kind": "kill"}])
    assert len(run.samples) == 50
    assert [run.merged.kinds[k] for k in run.merged.kind] == ["" if k else "broken" for k in ok]
    assert run.stress.shape.kind == "constant"


def test_a_run_that_was_cut_short_is_read_from_its_records(directory: Path) -> None:
    recorder, progress = Recorder(), Progress(directory / "samples")
    recorder.add(Times(1, 1, 2, 1), "why")
    progress.add(0, recorder.take(), recorder.kinds)
    with (directory / "samples" / "worker-0.bin").open("ab") as file:
        file.write(b"half")
    run = read_stress(directory)
    assert (len(run.samples), run.merged.kinds, run.memory) == (1, ("", "why"), [])


def test_what_is_none_or_newer_is_refused(directory: Path, tmp_path: Path) -> None:
    assert is_stress(directory)
    assert not is_stress(tmp_path)
    with pytest.raises(RunDirectoryError, match="no directory of"):
        read_stress(tmp_path)
    text = json.loads((directory / "stress.json").read_text(encoding="utf-8"))
    (directory / "stress.json").write_text(json.dumps({**text, "schema": 99}), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="newer harness"):
        read_stress(directory)
    (directory / "stress.json").write_text("{", encoding="utf-8")
    with pytest.raises(RunDirectoryError, match="can't be read"):
        read_stress(directory)
