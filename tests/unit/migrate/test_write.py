"""Nothing is written where anything is wrong, and what is written is read back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.small_disk import mounted

from harness.errors import ScenarioError, UsageError
from harness.migrate.perf_analyzer import translate
from harness.migrate.write import check, read, write


def test_only_a_small_regular_file_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="is a named pipe, not a regular file"):
        read([str(tmp_path / "pipe")], tmp_path)
    with (tmp_path / "hole").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(UsageError, match="is larger than 1 MiB"):
        read([str(tmp_path / "hole")], tmp_path)


def test_a_full_disk_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        disk.fill()
        with pytest.raises(UsageError, match=r"can't write .*s\.yaml: No space left on device"):
            write([translate(["-m", "n"], tmp_path)], disk.path / "s.yaml")
        assert [path.name for path in disk.path.iterdir()] == ["filler"]


def test_a_bad_value_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="whole number"):
        write([translate(["-m", "n", "-b", "x"], tmp_path)], tmp_path / "s.yaml")
    assert list(tmp_path.iterdir()) == []


def test_files_that_are_there_are_kept(tmp_path: Path) -> None:
    draft, output = translate(["-m", "n"], tmp_path), tmp_path / "sub" / "s.yaml"
    assert write([draft], output) == [output]
    with pytest.raises(UsageError, match="is there already"):
        write([draft], output)
    assert write([draft], output, force=True) == [output]
    assert check(output) == []


def test_further_models_have_a_file_each(tmp_path: Path) -> None:
    drafts = [translate(["-m", name], tmp_path) for name in ("a", "b")]
    assert write(drafts, tmp_path / "s.yaml") == [tmp_path / "s.yaml", tmp_path / "s-b.yaml"]


def test_a_model_that_is_there_twice_loses_no_file(tmp_path: Path) -> None:
    drafts = [translate(["-m", "n", "-b", str(b)], tmp_path) for b in (1, 2, 3, 4)]
    written = write(drafts, tmp_path / "s.yaml")
    assert [p.name for p in written] == ["s.yaml", "s-n.yaml", "s-n-2.yaml", "s-n-3.yaml"]
    assert [draft.text() == path.read_text() for draft, path in zip(drafts, written, strict=True)]
    assert len({path.read_text() for path in written}) == 4


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    argv = ["-m", "n", "--service-kind", "triton_c_api", "--model-repository", "/nowhere/models"]
    (path,) = write([translate(argv, tmp_path)], tmp_path / "s.yaml")
    (problem,) = check(path)
    assert problem.path == "backends[0].server.repository"


def test_what_is_not_known_is_said(tmp_path: Path) -> None:
    (draft,) = read(["/opt/perf_analyzer", "-m", "n"], tmp_path)
    assert draft.model == "n"
    with pytest.raises(UsageError, match="'ab' is not perf_analyzer"):
        read(["ab", "-n", "1"], tmp_path)
    config = tmp_path / "config.yaml"
    config.write_text("model_repository: m\nprofile_models: [a, b]\n")
    assert [d.model for d in read([str(config)], tmp_path)] == ["a", "b"]
    with pytest.raises(UsageError, match=r"there is no file .*nowhere\.yaml"):
        read([str(tmp_path / "nowhere.yaml")], tmp_path)
