"""The manifest, and what forbids to resume a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import RunDirectoryError
from harness.results.manifest import check_resumable, differences, make_manifest
from harness.results.store import SCHEMA_VERSION
from harness.scenario.reading.loader import load_text
from harness.system.files import jsonable

TEXT = """\
scenario: s
model: {name: m, source: {fake: {}}}
backends: [{kind: fake, name: a, service_time_ms: 1}]
measurement: {seed: 5}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, object]:
    scenario = load_text(TEXT)
    made = make_manifest(scenario, TEXT, tmp_path / "s.yaml", ["load.batch_sizes=[1]"])
    return dict(json.loads(json.dumps(jsonable(made))))  # as it is read back


def test_it_says_what_was_run_where(manifest: dict[str, object], tmp_path: Path) -> None:
    assert manifest["schema_version"] == SCHEMA_VERSION
    assert manifest["scenario_text"] == TEXT
    assert manifest["scenario_folder"] == str(tmp_path)
    assert manifest["overrides"] == ["load.batch_sizes=[1]"]
    assert manifest["seeds"] == {"order": 5, "inputs": 0, "weights": 0}


def test_the_same_scenario_on_the_same_machine_goes_on(manifest: dict[str, object]) -> None:
    check_resumable(manifest, load_text(TEXT))


def test_another_scenario_does_not_and_three_differences_are_named(
    manifest: dict[str, object],
) -> None:
    other = TEXT.replace("seed: 5", "seed: 6, rounds: 7, warmup: 3s, window: 9s, rounds_max: 7")
    with pytest.raises(RunDirectoryError) as caught:
        check_resumable(manifest, load_text(other))
    said = str(caught.value)
    assert said.count(" was ") == 3
    assert "more" in said
    assert "without --resume" in said


def test_nor_do_other_packages(manifest: dict[str, object]) -> None:
    packages = manifest["packages"]
    assert isinstance(packages, dict)
    changed = {**manifest, "packages": {**packages, "numpy": "0.1"}}
    with pytest.raises(RunDirectoryError, match=r"packages\.numpy was '0\.1', is "):
        check_resumable(changed, load_text(TEXT))


def test_differences_have_their_place() -> None:
    then = {"a": [1, {"b": 2}], "c": 1, "same": [1]}
    now = {"a": [1, {"b": 3}], "d": None, "same": [1]}
    assert differences(then, now) == ["a[1].b was 2, is 3", "c was 1, is None"]
    assert differences({"a": [1]}, {"a": [1, 2]}) == ["a was [1], is [1, 2]"]
    assert differences(1, 1) == []
