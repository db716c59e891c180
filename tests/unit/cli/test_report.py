"""`harness report`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.synthetic_run import write_bare

from harness.cli.main import main
from harness.cli.report import command


def test_command_prints_the_paths(tmp_path: Path) -> None:
    run = write_bare(tmp_path / "r")
    done = CliRunner().invoke(
        command, [str(run), "--format", "html,csv", "--output", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert done.output.splitlines()[0] == str(tmp_path / "report.html")
    assert all(Path(line).exists() for line in done.output.splitlines())
    assert len(done.output.splitlines()) == 6


@pytest.mark.parametrize("formats", ["", "html,docx"])
def test_command_refuses_unknown_formats(
    tmp_path: Path, formats: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["report", str(tmp_path), "--format", formats])
    assert ended.value.code == 2
    assert "choose from html, pdf, csv" in capfd.readouterr().err
