"""A merged run directory: its files are those of the shards, and a kill leaves none."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.shards import manifest, write_shard

from harness.errors import RunDirectoryError
from harness.fleet.merge import merge
from harness.fleet.sources import read_sources
from harness.fleet.write import require_new, write
from harness.results.store import read_run


def test_every_file_is_brought_and_named_by_the_journal(tmp_path: Path) -> None:
    for k in (0, 1):
        write_shard(tmp_path / f"s{k}", [k], manifest(k, 2, gpu=k))
    found = merge(read_sources([tmp_path / "s0", tmp_path / "s1"]))
    write(found, tmp_path / "out")
    data = read_run(tmp_path / "out")
    assert data.complete and data.damage == () and len(data.measurements) == 6
    for row in data.measurements:
        text = (tmp_path / "out" / row.samples).read_bytes()
        assert text == f"samples of s{row.round}".encode()
    assert (tmp_path / "out/logs/1-prepare.log").read_text() == "log of s1\n"
    with (tmp_path / "s1/logs/prepare.log").open("a") as log:
        log.write("more\n")
    assert (tmp_path / "out/logs/1-prepare.log").read_text() == "log of s1\n"
    write(found, tmp_path / "out")  # again, over what is there
    assert read_run(tmp_path / "out").events == data.events


def test_what_leads_out_of_a_shard_is_not_brought(tmp_path: Path) -> None:
    write_shard(tmp_path / "s0", [0], manifest(gpu=0))
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "s0/logs/link.log").symlink_to(tmp_path / "secret")
    write(merge(read_sources([tmp_path / "s0"])), tmp_path / "out")
    assert not any("link" in p.name for p in (tmp_path / "out").rglob("*"))


def test_only_a_new_directory_is_written_to(tmp_path: Path) -> None:
    require_new(tmp_path / "new")
    write_shard(tmp_path / "s0", [0], manifest(gpu=0))
    with pytest.raises(RunDirectoryError, match="already holds a run"):
        require_new(tmp_path / "s0")
    with pytest.raises(RunDirectoryError, match="is no directory"):
        require_new(tmp_path / "s0/manifest.json")
    (tmp_path / "s0/manifest.json").unlink()
    require_new(tmp_path / "s0")  # what a killed merge leaves
    (tmp_path / "s0/mine").touch()
    with pytest.raises(RunDirectoryError, match="is not empty"):
        require_new(tmp_path / "s0")
