from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.profiled import write_scenario

from harness.errors import RunDirectoryError, UsageError
from harness.profile import store
from harness.profile.front import Asked, carry_out
from harness.profile.result import BackendProfile


def asked(path: Path, **changes: object) -> Asked:
    known = {"overrides": (), "output": None, "tried": None, "report": False, "quiet": False,
             "as_json": False}  # fmt: skip
    return Asked(path, **{**known, **changes})  # type: ignore[arg-type]


def test_a_profile_is_shown_again(profiled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert carry_out(asked(profiled)) == 0
    said = capsys.readouterr().out
    assert "torch-cpu-fp32 at batch 1: " in said
    assert "triton-http-torch is left out" in said
    assert f"profile: {profiled}" in said
    assert carry_out(asked(profiled, quiet=True)) == 0
    assert "at batch 1" not in capsys.readouterr().out


def test_a_backend_that_failed_is_an_answer_of_no(profiled: Path, tmp_path: Path) -> None:
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    profile = store.read_profile(here)
    failed = BackendProfile("t", {}, failure="no GPU")
    store.save(here, replace(profile, backends=[*profile.backends, failed]))
    assert carry_out(asked(here, quiet=True)) == 1


def test_one_that_was_cut_short_says_so(
    profiled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    journal = here / "journal.jsonl"
    journal.write_text(journal.read_text().replace('"complete"', '"interrupted"'))
    assert carry_out(asked(here, report=True)) == 0
    assert "interrupted before its end" in capsys.readouterr().err
    assert "interrupted before its end" in (here / "report.html").read_text()
    carry_out(asked(profiled))
    assert "interrupted" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"output": Path("x")}, "--output goes with a scenario"),
        ({"overrides": ("load.concurrency=2",)}, "--set goes with a scenario, or with --try"),
        ({"tried": "99"}, "there is no finding 99"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(
    profiled: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        carry_out(asked(profiled, **changes))


def test_a_folder_that_is_no_profile_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no directory of `harness profile`"):
        carry_out(asked(tmp_path))


def test_a_backend_that_breaks_is_noted_and_ends_the_command_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    scenario = write_scenario(tmp_path / "scenario")
    out = tmp_path / "out"
    sets = ("backends=[{kind: torch, device: cuda:9, name: gone}]", "load.batch_sizes=[1]")
    assert carry_out(asked(scenario, overrides=sets, output=out, report=True)) == 1
    (gone,) = store.read_profile(out).backends
    assert "cuda:9" in gone.failure
    said = capsys.readouterr()
    assert f"gone could not be profiled: {gone.failure[:20]}" in said.out
    assert "profiling gone" in said.err
    assert (out / "report.html").is_file()
