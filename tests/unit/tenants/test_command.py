from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.main import main
from harness.tenants.results import Results


def code_of(*args: str) -> int:
    with pytest.raises(SystemExit) as info:
        main(list(args))
    return int(info.value.code or 0)


def test_a_run_directory_is_shown_again(good: Results, capsys: pytest.CaptureFixture[str]) -> None:
    run = good.data.path
    assert code_of("share", str(run)) == 0
    assert "2 replicas of a hold" in capsys.readouterr().out
    assert code_of("share", str(run), "-o", "x") == 2
    assert "--output, --predict, --resume and --set go with a scenario" in capsys.readouterr().err
    assert code_of("report", str(run)) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"


def test_a_scenario_without_the_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("scenario: s\nmodel: {name: m, source: {fake: {}}}\nbackends: [{kind: fake}]\n")
    assert code_of("share", str(path), "-o", str(tmp_path / "run")) == 2
    assert "has no `sharing`" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_predict_asks_for_stressors_in_place_of_pairs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The scenario is checked with it: here a tenant has a stressor's name."""
    path = tmp_path / "s.yaml"
    path.write_text(
        "scenario: s\nmodel: {name: m, source: {fake: {}}}\nbackends: [{kind: fake}]\n"
        "sharing:\n  tenants:\n    - {name: stress-x, load: {concurrency: 1}}\n"
        "    - {name: b, load: {concurrency: 1}}\n"
    )
    assert code_of("share", str(path), "-o", str(tmp_path / "run"), "--predict") == 2
    assert "names that begin with stress-" in capsys.readouterr().err


def test_resume_is_for_a_sharing_run_and_knows_its_own(
    good: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert code_of("share") == 2
    assert "give a scenario file, a run directory, or --resume DIR" in capsys.readouterr().err
    run = str(good.data.path)
    assert code_of("share", "--resume", run, "--predict") == 2
    assert "the run knows its own" in capsys.readouterr().err
    assert code_of("run", "--resume", run) != 0
    assert "is of `harness sharing`, and can't be resumed as another" in capsys.readouterr().err
    assert code_of("share", "--resume", str(tmp_path)) != 0
    assert "not a run directory" in capsys.readouterr().err
