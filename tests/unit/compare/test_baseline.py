"""A baseline is a side that was kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.compared import write_blocks

from harness.compare.baseline import read_baseline, write_baseline
from harness.compare.side import side_of
from harness.errors import SetupError, UsageError
from harness.results.store import read_run


def test_it_reads_back_with_its_replicates(tmp_path: Path) -> None:
    data = read_run(write_blocks(tmp_path / "r", {"a": 0.0}, rounds=5, error={"a": 1e-6}))
    side = side_of(data, "a")
    write_baseline(tmp_path / "b.json", side)
    again = read_baseline(tmp_path / "b.json")
    assert again.points["b1/c1"].values["p50"] == pytest.approx(
        side.points["b1/c1"].values["p50"], rel=1e-5
    )
    assert again.outputs == side.outputs
    assert (again.machine, again.conditions) == (side.machine, side.conditions)
    assert (tmp_path / "b.json").stat().st_size < 4000  # it is committed


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema_version": 9}'])
def test_a_file_that_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(UsageError, match="is no baseline"):
        read_baseline(tmp_path / "b.json")


def test_a_damaged_one_says_where(tmp_path: Path) -> None:
    write_baseline(
        tmp_path / "b.json", side_of(read_run(write_blocks(tmp_path / "r", {"a": 0.0})), "a")
    )
    data = json.loads((tmp_path / "b.json").read_text())
    data["side"]["points"]["b1/c1"]["values"]["p50"]["0"] = "fast"
    (tmp_path / "b.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"points\.b1/c1\.values\.p50\.0"):
        read_baseline(tmp_path / "b.json")


def test_a_file_that_cant_be_written(tmp_path: Path) -> None:
    side = side_of(read_run(write_blocks(tmp_path / "r", {"a": 0.0})), "a")
    with pytest.raises(SetupError, match="can't be written"):
        write_baseline(Path("/proc/nothing/b.json"), side)


def test_only_the_values_are_rounded(tmp_path: Path) -> None:
    """A rate with more digits would be another scenario's."""
    side = side_of(read_run(write_blocks(tmp_path / "r", {"a": 0.0})), "a")
    side = replace(side, conditions={**side.conditions, "rate": 1234.56789})
    write_baseline(tmp_path / "b.json", side)
    assert read_baseline(tmp_path / "b.json").conditions == side.conditions


def test_texts_of_somebody_else_are_shown_harmless(tmp_path: Path) -> None:
    side = side_of(read_run(write_blocks(tmp_path / "r", {"a": 0.0})), "a")
    write_baseline(tmp_path / "b.json", replace(side, name="a\x1b[31m\u202e"))
    assert read_baseline(tmp_path / "b.json").name == r"a\x1b[31m\u202e"
