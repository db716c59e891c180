"""The command on the command line: exit codes and what it prints, of real directories."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from click.testing import CliRunner

from harness.profile.command import command, rebuild


def test_json_has_everything(profiled: Path, tmp_path: Path) -> None:
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    result = CliRunner().invoke(command, [str(here), "--json"], standalone_mode=False)
    assert result.return_value == 0
    found = json.loads(result.stdout)
    assert (found["model"], found["directory"]) == ("m", str(here))
    assert Path(found["report"]).is_file()
    assert [b["name"] for b in found["backends"]] == ["torch-cpu-fp32"]
    assert found["findings"]


def test_a_report_is_written_again_and_says_what_it_is_of(
    profiled: Path, tmp_path: Path
) -> None:  # fmt: skip
    here = tmp_path / "profile"
    shutil.copytree(profiled, here)
    rebuild(here)
    assert "A profile is no measurement" in (here / "report.html").read_text()
