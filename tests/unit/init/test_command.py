"""`harness init` as it is called, on a file; every kind of source is in tests/integration."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from support.tiny_onnx import tiny_onnx

from harness.doctor import backends
from harness.errors import SetupError, UsageError
from harness.init.command import command
from harness.scenario.reading.loader import load
from harness.system.check import BACKENDS, OK, Check

ONE = [Check(BACKENDS, "onnxruntime (cpu)", OK, "1", runs=True)]


def run(*args: object) -> Result:
    return CliRunner().invoke(
        command, [str(a) for a in args], standalone_mode=False, catch_exceptions=False
    )


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file; the doctor's look at the machine, which takes seconds, is said."""
    monkeypatch.setattr(backends, "backend_checks", lambda gpu: ONE)
    return tiny_onnx(tmp_path / "net.onnx")


def test_a_scenario_is_written_and_said(model: Path) -> None:
    output = model.parent / "s.yaml"
    result = run(model, "--yes", "-o", output)
    assert "s.yaml: written: 4 points" in result.output
    assert "harness run" in result.output
    assert load(output).scenario.model.name == "net"


def test_what_is_to_be_typed_next_can_be(model: Path) -> None:
    output = model.parent / "my net.yaml"
    said = run(model, "--yes", "-o", output).output
    typed = [line.partition(": ")[2] for line in said.splitlines() if line.startswith("next: ")]
    comments = [
        line[1:] for line in output.read_text().splitlines() if line.startswith("#   harness")
    ]
    assert [shlex.split(line)[2] for line in typed] == [str(output)]
    assert [shlex.split(line)[1:3] for line in comments] == [
        ["validate", output.name], ["run", output.name], ["run", output.name],
    ]  # fmt: skip


def test_json_says_the_same(model: Path) -> None:
    output = model.parent / "s.yaml"
    found = json.loads(run(model, "--yes", "-o", output, "--json").output)
    assert (found["schema"], found["written"]) == ("harness-init/1", str(output))
    assert len(found["points"]) == 4
    assert found["notes"][-1].endswith("it runs")


def test_a_scenario_that_is_there_is_kept_and_nothing_is_looked_at(model: Path) -> None:
    output = model.parent / "s.yaml"
    output.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        run("http://127.0.0.1:1", "--yes", "-o", output)
    assert output.read_text() == "mine"


def test_without_a_source_and_a_terminal_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nobody can be asked"):
        run("--yes", "-o", tmp_path / "s.yaml")


def test_a_machine_that_can_run_nothing_is_said(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "backend_checks", lambda gpu: [])
    with pytest.raises(SetupError, match="nothing here can run it"):
        run(model, "--yes", "-o", model.parent / "s.yaml")
    assert not (model.parent / "s.yaml").exists()


@pytest.mark.parametrize("text", ["x", "x=float32", "x=no:batch"])
def test_a_bad_input_is_refused_before_anything_is_looked_at(text: str) -> None:
    with pytest.raises(UsageError, match="--input"):
        CliRunner().invoke(
            command, ["a:b", "--yes", "--input", text], standalone_mode=False,
            catch_exceptions=False,
        )  # fmt: skip
