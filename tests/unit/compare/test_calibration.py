"""What a calibration asks for and refuses, and what becomes of its result."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.synthetic_run import write_all_failed, write_run

from harness.compare import calibration
from harness.compare.calibration import PLAN, Plan
from harness.errors import InconclusiveError, RunDirectoryError, UsageError
from harness.results.events import Observer

SEARCH = """
scenario: search
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake}]
load: {find_capacity: {latency_p90_ms: 100}}
measurement: {profile: quick}
"""
THREE = '{"runs": 3, "repeats": 4}'


def watches() -> nullcontext[Observer]:
    return nullcontext(lambda _: None)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_result_is_kept_with_where_it_comes_from(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_run(tmp_path / f"run-{number}", rounds=8, failures=False, seed=number)
    (tmp_path / PLAN).write_text(THREE)
    found = calibration.conclude(tmp_path)
    assert (found.calibration.runs, found.calibration.rounds) == (3, 8)
    stored = json.loads(found.path.read_text())
    assert stored["run"] == str(tmp_path.resolve())
    assert stored["between"]["comparisons"] == 3 * len(found.calibration.tests) > 0
    assert "an A/A test of resnet50-backends (3 runs of 8 rounds" in found.text


def test_nothing_to_compare_is_inconclusive(tmp_path: Path) -> None:
    for number in (1, 2, 3):
        write_all_failed(tmp_path / f"run-{number}")
    (tmp_path / PLAN).write_text(THREE)
    with pytest.raises(InconclusiveError, match="no point is valid in at least eight rounds of ev"):
        calibration.conclude(tmp_path)


def test_a_search_alone_has_nothing_to_repeat(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SEARCH)
    with pytest.raises(UsageError, match="its rates differ from round to round"):
        calibration.begin(tmp_path / "s.yaml", (), Plan(3, 5), None, watches)


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SEARCH)
    with pytest.raises(RunDirectoryError, match="is not empty"):
        calibration.begin(tmp_path / "s.yaml", (), Plan(3, 5), tmp_path, watches)
    with pytest.raises(RunDirectoryError, match="can't be written"):
        calibration.begin(tmp_path / "s.yaml", (), Plan(3, 5), tmp_path / "s.yaml" / "x", watches)


@pytest.mark.parametrize(("plan", "settled", "words"), [
    (THREE, {"--repeats": True, "--set": ()}, "--repeats does not go with --resume"),
    (THREE, {"--repeats": False, "--set": ("a=1",)}, "--set does not go with --resume"),
    ("{", {}, "is no calibration"), ('{"rounds": 3}', {}, "is no calibration"),
    (None, {}, "is no calibration"),
])  # fmt: skip
def test_what_can_not_be_resumed(
    tmp_path: Path, plan: str | None, settled: dict[str, object], words: str
) -> None:
    run = write_all_failed(tmp_path / "r")
    if plan:
        (run / PLAN).write_text(plan)
    with pytest.raises(UsageError, match=words):
        calibration.finish(run, settled, watches)


def without(run: Path, *keys: str) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    left = {key: value for key, value in manifest.items() if key not in keys}
    (run / "manifest.json").write_text(json.dumps(left))


def test_a_calibration_whose_manifest_lacks_the_scenario_is_not_resumed(tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(THREE)
    without(write_all_failed(tmp_path / "run-1"), "scenario", "scenario_path")
    with pytest.raises(RunDirectoryError, match="can't be resumed"):
        calibration.finish(tmp_path, {}, watches)


def test_a_result_is_kept_of_a_manifest_that_lacks_what_it_names(tmp_path: Path) -> None:
    (tmp_path / PLAN).write_text(THREE)
    for number in (1, 2, 3):
        run = write_run(tmp_path / f"run-{number}", rounds=8, failures=False)
        without(run, "created", "machine", "scenario")
    stored = json.loads(calibration.conclude(tmp_path).path.read_text())
    assert stored["created"] is stored["scenario"] is None
