"""From run directories to the merged one, in every reader of runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.shards import manifest, write_shard

import harness
from harness.errors import RunDirectoryError
from harness.fleet.front import carry_out
from harness.run import execute


@pytest.fixture(scope="module")
def merged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for k in (0, 1):
        write_shard(folder / f"s{k}", [2 * k, 2 * k + 1], manifest(k, 2, gpu=k))
    ended = carry_out([folder / "s0", folder / "s1"], folder / "out", allow_mixed=False)
    assert not ended.interrupted
    return folder / "out"


def test_reports_and_the_api_read_it_as_a_run(merged: Path, tmp_path: Path) -> None:
    run = harness.open_run(merged)
    assert run.complete and list(run.summary()["rounds"]) == [4, 4, 4]
    assert "a/b1/c1" in str(run.explain("a/b1/c1"))
    written = run.report(["html"], tmp_path)
    assert "2 × NVIDIA H100" in written[0].read_text("utf-8")


def test_nothing_more_is_measured_into_it(merged: Path) -> None:
    with pytest.raises(RunDirectoryError, match="made of several run directories") as info:
        execute.reread(merged)
    assert info.value.fix == "resume those, and merge them again"


def test_a_missing_shard_is_an_interrupted_run(tmp_path: Path) -> None:
    write_shard(tmp_path / "s0", [0], manifest(0, 2, gpu=0))
    assert carry_out([tmp_path / "s0"], tmp_path / "out", allow_mixed=False).interrupted
