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
from harness.stress.store import Outcome, is_stress, read_stress, write_requests
from harness.swarm.progress import Progress
from harness.swarm.recorder import Recorder, Times

KILL = {"kind": "kill", "asked": 1.0, "begin": 1.0, "end": 1.5, "how": "SIGKILL", "problem": ""}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = loaded(tmp_path)
    path = tmp_path / "run"
    RunStore.create(path, make_manifest(found.scenario, found.text, found.path, [])).close()
    Outcome(status="complete", seconds=2.0, faults=[KILL]).save(path)
    return path


def test_all_requests_come_back_with_what_went_wrong(directory: Path) -> None:
    ok = np.arange(50) % 7 > 0
    write_requests(directory, records(np.arange(50), 5.0, ok), {"clock": "monotonic"})
    run = read_stress(directory)
    assert (run.outcome.status, run.outcome.faults) == ("complete", [KILL])
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


@pytest.mark.parametrize(("name", "key", "value", "words"), [
    ("stress.json", "seconds", "long", "stress.json can't be read: seconds: "),
    ("stress.json", "seconds", 1e300, "stress.json can't be read: seconds: "),
    ("stress.json", "start_ns", "x", "stress.json can't be read: start_ns: "),
    ("stress.json", "faults", [{"kind": "kill"}], "stress.json can't be read: faults.0.begin: "),
    ("stress.json", "lost", 3, "stress.json can't be read: lost: "),
    ("manifest.json", "scenario", {}, "manifest.json: scenario.scenario: Field required"),
])  # fmt: skip
def test_what_is_of_another_type_is_said_with_its_place(
    directory: Path, name: str, key: str, value: object, words: str
) -> None:
    text = json.loads((directory / name).read_text(encoding="utf-8"))
    (directory / name).write_text(json.dumps({**text, key: value}), encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=words):
        read_stress(directory)


def test_the_stress_section_is_checked_when_it_is_read(directory: Path) -> None:
    text = json.loads((directory / "manifest.json").read_text(encoding="utf-8"))
    for section, value in (("stress", {"shape": 2}), ("measurement", {"seed": "x"})):
        changed = {**text, "scenario": {**text["scenario"], section: value}}
        (directory / "manifest.json").write_text(json.dumps(changed), encoding="utf-8")
        with pytest.raises(RunDirectoryError, match=r"manifest\.json: scenario\."):
            read_stress(directory)


@pytest.mark.parametrize("text", [
    "{", "[]", '{"readings": [1]}', '{"readings": [{"text": "a^b 1", "end_ns": 1}]}',
    '{"readings": [{"text": "", "end_ns": "x"}]}',
])  # fmt: skip
def test_a_report_goes_on_without_what_is_damaged_and_says_so(directory: Path, text: str) -> None:
    for name in ("metrics.json", "telemetry.parquet", "memory.parquet"):
        (directory / name).write_text(text)
    run = read_stress(directory)
    assert (run.metrics, run.telemetry, run.memory) == ({}, {}, [])
    for name in ("metrics.json", "telemetry.parquet", "memory.parquet"):
        (note,) = (n for n in run.outcome.notes if name in n)
        assert "is damaged: " in note and note.endswith("; it was left out")
