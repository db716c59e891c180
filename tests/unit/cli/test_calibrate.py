"""`harness calibrate`: its table, and what it refuses before anything is measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.synthetic_run import write_run

from harness.cli.calibrate import _table, command
from harness.errors import UsageError
from harness.run.calibration import conclude


def test_a_scenario_or_a_directory_is_needed() -> None:
    with pytest.raises(UsageError, match="give a scenario file, or --resume DIR"):
        CliRunner().invoke(command, [], standalone_mode=False, catch_exceptions=False)
    done = CliRunner().invoke(command, ["x.yaml", "--repeats", "4"])
    assert done.exit_code == 2
    assert "5<=x<=500" in done.output


def test_repeats_that_were_not_given_do_go_with_resume(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r")
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["scenario"]["measurement"] |= {"rounds": 9, "rounds_max": 9}
    (run / "manifest.json").write_text(json.dumps(manifest))
    for args, words in (((), "is no calibration"), (("-n", "10"), "--repeats does not go")):
        with pytest.raises(UsageError, match=words):
            CliRunner().invoke(
                command, ["--resume", str(run), *args], standalone_mode=False,
                catch_exceptions=False,
            )  # fmt: skip


def test_a_row_a_point_and_a_column_a_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    found = conclude(write_run(tmp_path / "r", rounds=8, failures=False)).calibration
    table = _table(found)
    assert table.row_count == len(found.tests) == 24
    assert [str(c.header) for c in table.columns][:3] == ["point", "rounds", "false alarms"]
    assert next(iter(table.columns[1].cells)) == "4+4"
