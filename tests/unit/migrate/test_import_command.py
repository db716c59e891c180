"""`harness import`: the table, the file, the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from harness.errors import ScenarioError, UsageError
from harness.migrate.import_command import command
from harness.scenario.reading.loader import load


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(command, [str(a) for a in args], standalone_mode=False)


def test_a_command_line_becomes_a_scenario(tmp_path: Path) -> None:
    output = tmp_path / "s.yaml"
    result = run("-o", output, "--", "/usr/bin/perf_analyzer", "-m", "net", "--streaming", "-v")
    assert result.exception is None
    assert result.return_value == 0
    assert "1 translated, 1 not needed, 1 refused" in result.output
    assert "harness run" in result.output
    assert load(output).scenario.model.name == "net"
    assert "--streaming: decoupled" in output.read_text()


def test_json_has_the_same(tmp_path: Path) -> None:
    result = run("--json", "-o", tmp_path / "s.yaml", "--", "perf_analyzer", "-m", "net", "-b", "2")
    found = json.loads(result.output)
    assert [o["option"] for o in found["options"]] == ["-m", "-b"]
    assert found["problems"] == []


def test_what_is_missing_here_is_exit_2_and_the_file_is_there(tmp_path: Path) -> None:
    output = tmp_path / "s.yaml"
    result = run("-o", output, "--", "perf_analyzer", "-m", "net", "--service-kind=triton_c_api",
                 "--model-repository=/nowhere/models")  # fmt: skip
    assert result.return_value == 2
    assert "server.repository" in result.output
    assert output.exists()


@pytest.mark.parametrize(
    ("argv", "error"),
    [
        (["--", "perf_analyzer", "-m", "n", "-b", "x"], ScenarioError),
        (["--", "ab", "-n"], UsageError),
    ],
)
def test_what_is_wrong_is_raised(tmp_path: Path, argv: list[str], error: type[Exception]) -> None:
    assert isinstance(run("-o", tmp_path / "s.yaml", *argv).exception, error)
