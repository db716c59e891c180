"""What a calibration asks for and refuses, and what becomes of its result."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path

import pytest
from support.synthetic_run import write_all_failed, write_run

from harness.errors import InconclusiveError, UsageError
from harness.results.events import Teller
from harness.run import calibration

SEARCH = """
scenario: search
model: {name: nothing, source: {fake: {}}}
backends: [{name: fake, kind: fake}]
load: {find_capacity: {latency_p90_ms: 100}}
measurement: {profile: quick}
"""
WATCH = nullcontext(Teller(lambda _: None))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


def test_the_result_is_kept_with_where_it_comes_from(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rounds=8, failures=False)
    found = calibration.conclude(run)
    assert found.calibration.rounds == 4
    stored = json.loads(found.path.read_text())
    assert stored["run"] == str(run.resolve())
    assert stored["comparisons"] == found.calibration.comparisons > 0
    assert "an A/A test of resnet50-backends (4 against 4 rounds" in found.text


def test_nothing_to_compare_is_inconclusive(tmp_path: Path) -> None:
    with pytest.raises(InconclusiveError, match="no point is valid in at least eight rounds"):
        calibration.conclude(write_all_failed(tmp_path / "r"))


def test_a_search_alone_has_nothing_to_repeat(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SEARCH)
    with pytest.raises(UsageError, match="its rates differ from round to round"):
        calibration.begin(tmp_path / "s.yaml", (), 5, None, WATCH)


@pytest.mark.parametrize(("rounds", "settled", "words"), [
    (10, {"--repeats": True, "--set": ()}, "--repeats does not go with --resume"),
    (10, {"--repeats": False, "--set": ("a=1",)}, "--set does not go with --resume"),
    (8, {}, "is no calibration"), (11, {}, "is no calibration"),
])  # fmt: skip
def test_what_can_not_be_resumed(
    tmp_path: Path, rounds: int, settled: dict[str, object], words: str
) -> None:
    run = write_all_failed(tmp_path / "r")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["scenario"]["measurement"] |= {"rounds": rounds, "rounds_max": rounds}
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match=words):
        calibration.finish(run, settled, WATCH)


@pytest.mark.parametrize(
    "scenario", [None, {}, {"measurement": {"rounds": "x", "rounds_max": "x"}}]
)
def test_a_manifest_without_its_scenario_is_no_calibration(
    tmp_path: Path, scenario: dict[str, object] | None
) -> None:
    run = write_all_failed(tmp_path / "r")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["scenario"] = scenario
    if scenario is None:
        del manifest["scenario"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="is no calibration"):
        calibration.finish(run, {}, WATCH)


def test_a_result_is_kept_of_a_manifest_that_lacks_what_it_names(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", rounds=8, failures=False)
    manifest = json.loads((run / "manifest.json").read_text())
    for key in ("created", "machine", "scenario"):
        del manifest[key]
    (run / "manifest.json").write_text(json.dumps(manifest))
    stored = json.loads(calibration.conclude(run).path.read_text())
    assert stored["created"] is stored["scenario"] is None
