"""`harness calibrate`: its table, and what it refuses before anything is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.synthetic_run import write_run

from harness.compare.calibrate_command import _table, command
from harness.compare.calibration import PLAN, conclude
from harness.errors import UsageError


def test_a_scenario_or_a_directory_is_needed() -> None:
    with pytest.raises(UsageError, match="give a scenario file, or --resume DIR"):
        CliRunner().invoke(command, [], standalone_mode=False, catch_exceptions=False)
    done = CliRunner().invoke(command, ["x.yaml", "--repeats", "4"])
    assert done.exit_code == 2
    assert "5<=x<=500" in done.output


@pytest.mark.parametrize("option", ["--repeats", "--runs", "--pause"])
def test_what_was_not_given_does_go_with_resume(tmp_path: Path, option: str) -> None:
    run = write_run(tmp_path / "r")
    for args, words in (((), "is no calibration"), ((option, "10"), f"{option} does not go")):
        with pytest.raises(UsageError, match=words):
            CliRunner().invoke(
                command, ["--resume", str(run), *args], standalone_mode=False,
                catch_exceptions=False,
            )  # fmt: skip


def test_a_row_a_point_and_a_column_a_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for number in (1, 2, 3):
        write_run(tmp_path / f"run-{number}", rounds=8, failures=False, seed=number)
    (tmp_path / PLAN).write_text('{"runs": 3, "repeats": 4}')
    found = conclude(tmp_path).calibration
    table = _table(found)
    assert table.row_count == len(found.tests) == 24
    assert [str(c.header) for c in table.columns][:3] == ["point", "half:half", "run:run"]
    assert {str(cell)[-2:] for cell in table.columns[1].cells} == {"/3"}
