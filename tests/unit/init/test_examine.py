"""What a word on the command line is taken for."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from support.tiny_onnx import tiny_onnx

from harness.errors import ServerError, UsageError
from harness.init.examine import Subject, examine
from harness.init.triton import Choose


def never(what: str, names: object) -> str:
    raise AssertionError(what)


CHOOSE: Choose = never


def test_a_file_is_named_as_the_scenario_will_see_it(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "models" / "my net.onnx")
    found = examine(Subject(str(path), tmp_path), CHOOSE)
    assert (found.kind, found.name) == ("onnx", "my-net")
    assert found.source == {"onnx": str(path)}


def test_a_relative_path_is_relative_to_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_onnx(tmp_path / "a.onnx")
    monkeypatch.chdir(tmp_path)
    found = examine(Subject("a.onnx", Path("runs/new"), model="net"), CHOOSE)
    assert found.source == {"onnx": "../../a.onnx"}
    assert found.name == "net"


@pytest.mark.parametrize("name", ["missing.onnx", "a b", "module", "mod:", ":f"])
def test_what_is_nothing_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="neither a URL nor module:function"):
        examine(Subject(name, tmp_path), CHOOSE)


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.engine").write_bytes(b"x")
    with pytest.raises(UsageError, match="neither an ONNX file") as caught:
        examine(Subject(str(tmp_path / "a.engine"), tmp_path), CHOOSE)
    assert "engine" in str(caught.value.fix)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a", "b")
    with pytest.raises(UsageError, match="not an exported program"):
        examine(Subject(str(tmp_path / "a.zip"), tmp_path), CHOOSE)


def test_a_module_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't import nowhere_at_all"):
        examine(Subject("nowhere_at_all:f", tmp_path), CHOOSE)


def test_nobody_at_a_url_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match="can't be reached"):
        examine(Subject("http://127.0.0.1:1", tmp_path), CHOOSE)
