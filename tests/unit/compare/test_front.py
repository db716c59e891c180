"""What is shown and written, and what can't be."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.compared import write_blocks

from harness.compare.front import SUMMARY, Asked, Files, carry_out, write_file
from harness.errors import SetupError, UsageError


def asked(*paths: Path, **more: Any) -> Asked:
    usual: dict[str, Any] = {
        "base": None, "candidate": None, "baseline": None, "save_baseline": None, "overrides": (),
        "output": None, "resume": None, "blocks": 19, "force": False, "layers": False,
        "quiet": True,
    }  # fmt: skip
    return Asked(paths, **{**usual, **more})


def test_the_exit_code_is_the_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1})
    assert carry_out(asked(run), Files(), nullcontext()) == 1
    assert capsys.readouterr().out == "REGRESSION: b against a\n"
    assert carry_out(asked(run, base="b", candidate="a"), Files(), nullcontext()) == 0


def test_files_that_cant_be_written_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1})
    with pytest.raises(SetupError, match="nothing"):
        carry_out(asked(run), Files(json=Path("/proc/nothing/x.json")), nullcontext())
    with pytest.raises(SetupError, match="nothing"):
        write_file(Path("/proc/nothing/x"), "")
    monkeypatch.setenv(SUMMARY, "/proc/nothing/summary")
    with pytest.raises(SetupError, match="nothing"):
        carry_out(asked(run), Files(), nullcontext())


def test_what_does_not_go_with_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume goes without"):
        carry_out(asked(tmp_path, resume=tmp_path), Files(), nullcontext())


@pytest.mark.parametrize("more", [{"baseline": Path("b.json")}, {"force": True}])
def test_what_goes_with_run_directories_alone(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "s.yaml").write_text("")
    with pytest.raises(UsageError, match="go with run directories"):
        carry_out(asked(tmp_path / "s.yaml", **more), Files(), nullcontext())
