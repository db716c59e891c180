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
    assert "--output and --set go with a scenario" in capsys.readouterr().err
    assert code_of("report", str(run)) == 0
    assert capsys.readouterr().out == f"{run / 'report.html'}\n"


def test_a_scenario_without_the_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.yaml"
    path.write_text("scenario: s\nmodel: {name: m, source: {fake: {}}}\nbackends: [{kind: fake}]\n")
    assert code_of("share", str(path), "-o", str(tmp_path / "run")) == 2
    assert "has no `sharing`" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
