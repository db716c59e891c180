"""What was seen of two backends, kept and read again."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.compared import write_blocks

from harness.compare.answers import Answers
from harness.compare.comparing import within
from harness.compare.kept import Kept, file_of, keep, read_kept
from harness.compare.layers.matching import Profile, judge_layers
from harness.compare.result import Verdict
from harness.errors import RunDirectoryError
from harness.results.store import read_run

CONV, RELU = ("conv", "Conv", "[1, 2]"), ("relu", "Relu", "[1]")
BLOCKS = [
    (Profile(90.0 + n, {CONV: 50.0 + n}, {CONV: "CPU"}),
     Profile(99.5 + n, {CONV: 60.25 + n, RELU: 3.0}, {CONV: "CPU"}))
    for n in range(3)
]  # fmt: skip


def test_what_was_seen_is_read_again(tmp_path: Path) -> None:
    run = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.0}))
    assert read_kept(run.path, "a", "b") == Kept()
    keep(run.path, "a", "b", Kept(Answers(("the same",), "not the same")).with_layers(BLOCKS))
    found = read_kept(run.path, "a", "b").into(within(run, "a", "b"))
    assert found.layers == judge_layers(BLOCKS)
    assert found.outputs == ("the same",)
    assert (found.drift, found.verdict) == ("not the same", Verdict.REGRESSION)
    assert read_kept(run.path, "b", "a") == Kept()


@pytest.mark.parametrize("text", ["", "[]", '{"answers": 3}', '{"schema_version": 2}'])
def test_a_damaged_file_is_said(tmp_path: Path, text: str) -> None:
    file = file_of(tmp_path, "a", "b")
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(RunDirectoryError, match=r"a--b\.json"):
        read_kept(tmp_path, "a", "b")
