"""build_report and `harness report`."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from support.synthetic_run import write_all_failed, write_bare

from harness.cli.main import main
from harness.cli.report import command
from harness.errors import RunDirectoryError, UsageError
from harness.report.build import build_report


def test_files_go_to_the_run_directory_and_replace_older_ones(tmp_path: Path) -> None:
    run = write_all_failed(tmp_path / "r")
    paths = build_report(run)
    assert paths.html == run / "report.html"
    assert paths.pdf == run / "report.pdf"
    assert [p.name for p in paths.csvs][-2:] == ["summary.csv", "measurements.csv"]
    before = [p.read_bytes() for p in paths.all()]
    assert [p.read_bytes() for p in build_report(run).all()] == before


def test_only_what_was_asked_for(tmp_path: Path) -> None:
    run = write_bare(tmp_path / "r")
    paths = build_report(run, output=tmp_path / "a" / "b", formats=("csv",))
    assert (paths.html, paths.pdf) == (None, None)
    assert sorted(p.name for p in (tmp_path / "a" / "b").iterdir()) == sorted(
        p.name for p in paths.csvs
    )


def test_wrong_directory_and_format(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not a run directory"):
        build_report(tmp_path)
    with pytest.raises(UsageError, match="unknown report format 'docx'"):
        build_report(write_bare(tmp_path / "r"), formats=("docx",))


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
