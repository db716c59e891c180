"""One run, stored runs and a baseline, from directories to a comparison."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.compared import CALIBRATION, MACHINE, write_blocks

from harness.compare.comparing import against, known_effect, side_for_baseline, stored_runs, within
from harness.errors import UsageError
from harness.results.store import read_run

CALIBRATED = {"calibration": CALIBRATION}


def test_two_backends_of_one_run(tmp_path: Path) -> None:
    path = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1, "c": 0.0, "d": 0.0},
                        error={"a": 1e-6, "b": 1e-6})  # fmt: skip
    found = within(read_run(path), "a", "b")
    assert found.verdict == "regression"
    assert found.base.minutes_per_round == pytest.approx(0.5)  # half of a round is theirs
    assert len(found.outputs) == 1
    assert within(read_run(path), "a", "c").verdict == "equivalent"


def test_backends_without_a_common_point(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0}, rounds=0))
    with pytest.raises(UsageError, match="have no point in common"):
        within(data, None, None)


def test_stored_runs_with_a_known_run_effect(tmp_path: Path) -> None:
    paths = [
        write_blocks(tmp_path / name, {"x": slower}, seed=seed, manifest=CALIBRATED)
        for name, slower, seed in (("one", 0.0, 1), ("two", 0.1, 2), ("three", 0.0, 3))
    ]
    worse, same = stored_runs(paths, None, None, force=False)
    assert (worse.verdict, same.verdict) == ("regression", "equivalent")
    assert worse.candidate.name == "two"


def test_other_hardware_is_refused_unless_it_is_forced(tmp_path: Path) -> None:
    other = {**CALIBRATED, "machine": {**MACHINE, "cpu": {"model": "Other", "usable": 8}}}
    paths = [
        write_blocks(tmp_path / "one", {"x": 0.0}, manifest=CALIBRATED),
        write_blocks(tmp_path / "two", {"x": 0.0}, manifest=other, seed=2),
    ]
    with pytest.raises(UsageError, match="are not comparable: the machine differs: cpu") as caught:
        stored_runs(paths, None, None, force=False)
    assert "--force" in str(caught.value.fix)
    (found,) = stored_runs(paths, None, None, force=True)
    assert any("the machine differs: cpu" in text for text in found.forced)


def test_runs_of_several_backends_are_compared_by_name(tmp_path: Path) -> None:
    paths = [
        write_blocks(tmp_path / n, {"a": 0.0, "b": 0.0}, seed=seed, manifest=CALIBRATED)
        for n, seed in (("one", 1), ("two", 2))
    ]
    (found,) = stored_runs(paths, None, None, force=False)
    assert [p.place for p in found.points] == ["a/b1/c1", "b/b1/c1"]
    (found,) = stored_runs(paths, "a", "b", force=False)
    assert [p.place for p in found.points] == ["b1/c1"]


def test_a_run_is_not_compared_with_itself(tmp_path: Path) -> None:
    path = write_blocks(tmp_path / "one", {"a": 0.0, "b": 0.0}, manifest=CALIBRATED)
    again = tmp_path / "again"
    again.symlink_to(path)
    with pytest.raises(UsageError, match="again would be compared with itself") as caught:
        stored_runs([path, again], "a", "b", force=True)
    assert "--base and --candidate" in str(caught.value.fix)


def test_against_a_baseline(tmp_path: Path) -> None:
    first = read_run(write_blocks(tmp_path / "one", {"x": 0.0}, manifest=CALIBRATED))
    second = read_run(write_blocks(tmp_path / "two", {"x": 0.2}, seed=2, manifest=CALIBRATED))
    found = against(side_for_baseline(first, None), second, None, force=False)
    assert found.verdict == "regression"


def test_the_run_effect_is_the_manifests_or_this_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    without = read_run(write_blocks(tmp_path / "one", {"x": 0.0}))
    assert known_effect(without) is None
    from harness.compare.calibration import write_calibration

    write_calibration(MACHINE, CALIBRATION)
    effect = known_effect(without)
    assert effect is not None
    assert effect.runs == 6
    assert effect.run["p50"] == pytest.approx(0.004**2)
