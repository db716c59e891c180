"""`harness validate`: one line when fine, every mistake otherwise, never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner
from support.paths import ROOT
from support.tiny_onnx import tiny_onnx

from harness.validate.command import command

QUICKSTART = str(ROOT / "scenarios" / "quickstart.yaml")


def harness(*args: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "validate", *args],
        capture_output=True, text=True, cwd=ROOT, check=False, env=env,
    )  # fmt: skip


def test_a_good_file() -> None:
    result = CliRunner().invoke(command, [QUICKSTART], standalone_mode=False)
    counts = "24 points (4 backends × 2 batch sizes × 3 concurrencies), 3 rounds"
    left = "note: harness.models.resnet:resnet50 was not called: --deep does"
    assert result.output == f"{QUICKSTART}: fine: {counts}\n{left}\n"
    assert result.return_value == 0


def test_overrides_and_singulars() -> None:
    sets = ["load.concurrency=1", "load.batch_sizes=4", "measurement.rounds=1"]
    args = [QUICKSTART, *(a for s in sets for a in ("--set", s))]
    result = CliRunner().invoke(command, args, standalone_mode=False)
    words = "4 points (4 backends × 1 batch size × 1 concurrency), 1 round"
    assert f": fine: {words}\n" in result.output


def test_json_of_a_good_file() -> None:
    result = CliRunner().invoke(command, [QUICKSTART, "--json"], standalone_mode=False)
    facts = json.loads(result.output)
    assert (facts["valid"], facts["points"], facts["rounds"]) == (True, 24, 3)
    assert facts["estimated_seconds"] > 0


def test_json_of_a_bad_file() -> None:
    args = [QUICKSTART, "--json", "--set", "laod.x=1", "--set", "load.concurrency=0"]
    result = CliRunner().invoke(command, args, standalone_mode=False)
    facts = json.loads(result.output)
    assert result.return_value == 2
    assert [p["suggestion"] for p in facts["problems"]] == ["load", None]
    assert [(p["file"], p["line"], p["column"]) for p in facts["problems"]] == [
        ("--set", 1, 1),
        ("--set", 2, 18),
    ]


def test_json_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    args = [str(tmp_path / "no.yaml"), "--json"]
    result = CliRunner().invoke(command, args, standalone_mode=False)
    assert result.return_value == 2
    assert "there is no file" in json.loads(result.output)["problems"][0]["message"]


def test_the_whole_program_on_a_bad_file() -> None:
    file = "tests/data/bad_scenarios/several.yaml"
    result = harness(file)
    lines = result.stderr.splitlines()
    assert result.returncode == 2
    assert result.stdout == ""
    message = "backends[0].precison: unknown key; did you mean 'precision'?"
    assert f"error: {file}:20:19: {message}" in lines
    assert sum(line.startswith(f"error: {file}:") for line in lines) == 12
    assert "Traceback" not in result.stderr


def test_an_onnx_file_is_opened(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    text = (
        "scenario: s\nmodel: {name: net, source: {onnx: m.onnx}}\n"
        "backends: [{kind: onnxruntime}]\nload: {batch_sizes: [1, 4]}\n"
    )
    scenario.write_text(text, encoding="utf-8")
    tiny_onnx(tmp_path / "m.onnx", batch=3)
    for args in ([], ["--json"]):
        result = harness(str(scenario), *args)
        assert result.returncode == 2
        assert "input has its batch fixed at 3" in result.stdout + result.stderr
    tiny_onnx(tmp_path / "m.onnx", batch="rows")
    result = CliRunner().invoke(command, [str(scenario)], standalone_mode=False)
    fine, *notes = result.output.splitlines()
    assert ": fine: " in fine
    assert notes == [
        "note: net: the batch is axis 0 of input (a free first axis); "
        "`model.batch` can say otherwise",
        "note: the model was not called: --deep does",
    ]
    tiny_onnx(tmp_path / "m.onnx", batch="seq_len")
    result = harness(str(scenario))
    assert result.returncode == 2
    assert "dynamic: {seq_len: N}" in result.stderr


def test_deep_imports_the_factory(tmp_path: Path) -> None:
    scenario = tmp_path / "s.yaml"
    scenario.write_text(
        "scenario: s\nmodel: {name: net, source: {torch: 'deep_net:make'}, "
        "inputs: [{name: x, shape: [batch, 3]}]}\nbackends: [{kind: torch}]\n"
        "load: {batch_sizes: 1}\n"
    )
    (tmp_path / "deep_net.py").write_text("def make(): raise ValueError('half of it is missing')\n")
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    assert ": fine: " in harness(str(scenario), env=env).stdout
    done = harness(str(scenario), "--deep", "--json", env=env)
    assert done.returncode == 2, done.stderr
    (problem,) = json.loads(done.stdout)["problems"]
    assert "raised ValueError: half of it is missing" in problem["message"]
