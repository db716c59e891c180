"""What is shown and written, and what can't be."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from support.compared import write_blocks
from support.observers import Silent
from support.opened import begun
from support.tiny_onnx import tiny_onnx

from harness.compare.comparing import within
from harness.compare.front import JOB, SUMMARY, Asked, Files, carry_out, marker_key, write_file
from harness.errors import SetupError, UsageError
from harness.results.store import read_run


def asked(*paths: Path, **more: Any) -> Asked:
    usual: dict[str, Any] = {
        "base": None, "candidate": None, "baseline": None, "save_baseline": None, "overrides": (),
        "output": None, "resume": None, "blocks": 19, "force": False, "layers": False,
        "quiet": True,
    }  # fmt: skip
    return Asked(paths, **{**usual, **more})


def test_the_exit_code_is_the_verdicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1})
    assert carry_out(asked(run), Files(), nullcontext()) == 1
    assert capsys.readouterr().out == "REGRESSION: b against a\n"
    assert carry_out(asked(run, base="b", candidate="a"), Files(), nullcontext()) == 0


def test_files_that_cant_be_written_are_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1})
    with pytest.raises(SetupError, match="nothing"):
        carry_out(asked(run), Files(json=Path("/proc/nothing/x.json")), nullcontext())
    with pytest.raises(SetupError, match="nothing"):
        write_file(Path("/proc/nothing/x"), "")
    monkeypatch.setenv(SUMMARY, "/proc/nothing/summary")
    with pytest.raises(SetupError, match="nothing"):
        carry_out(asked(run), Files(), nullcontext())


def test_what_does_not_go_with_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--resume goes without"):
        carry_out(asked(tmp_path, resume=tmp_path), Files(), nullcontext())


@pytest.mark.parametrize("more", [{"baseline": Path("b.json")}, {"force": True}])
def test_what_goes_with_run_directories_alone(tmp_path: Path, more: dict[str, object]) -> None:
    (tmp_path / "s.yaml").write_text("")
    with pytest.raises(UsageError, match="go with run directories"):
        carry_out(asked(tmp_path / "s.yaml", **more), Files(), nullcontext())


SCENARIO = """
scenario: two
model: {name: tiny, source: {onnx: tiny.onnx}, parity: {inputs: 1}}
backends:
  - {name: a, kind: onnxruntime, threads: 1}
  - {name: b, kind: onnxruntime, threads: 1}
load: {concurrency: [1]}
"""


def test_a_regression_comes_with_what_both_answer_and_with_their_layers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny_onnx(tmp_path / "tiny.onnx")
    run, file = begun(tmp_path, SCENARIO, {"a": 0.0, "b": 0.1}), tmp_path / "o.json"
    for layers, hint in ((None, True), (False, False)):  # nothing is opened for a stored run
        carry_out(asked(run.path, layers=layers, quiet=False), Files(), nullcontext())
        assert ("which layers differ: the same with --layers" in capsys.readouterr().err) is hint
    measured = asked(resume=run.path, layers=None, layer_blocks=2)
    assert carry_out(measured, Files(json=file), nullcontext(Silent())) == 1
    (found,) = json.loads(file.read_text())["comparisons"]
    assert found["outputs"] == ["batch 1: both give the same outputs, bit by bit"]
    assert found["layers"]["blocks"] == 2
    assert "MatMul" in {c["kind"] for c in found["layers"]["changes"]}
    assert carry_out(asked(run.path), Files(json=file), nullcontext()) == 1
    (again,) = json.loads(file.read_text())["comparisons"]
    assert (again["layers"], again["outputs"]) == (found["layers"], found["outputs"])


def test_what_cant_be_looked_at_leaves_the_verdict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (write_blocks(tmp_path / n, {"a": 0.0, "b": 0.1}) for n in ("r", "s"))
    with pytest.raises(UsageError, match="two backends of one run"):
        carry_out(asked(one, other, layers=True), Files(), nullcontext())
    with pytest.raises(UsageError, match="can't be looked at from close: `fake`"):
        carry_out(asked(one, outputs=True), Files(), nullcontext())
    assert capsys.readouterr().out.count("REGRESSION: b against a") == 1


def test_two_jobs_of_a_pull_request_have_a_comment_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in JOB:
        monkeypatch.delenv(name, raising=False)
    run = read_run(write_blocks(tmp_path / "r", {"a": 0.0, "b": 0.1}))
    one, back = within(run, "a", "b"), within(run, "b", "a")
    assert marker_key([one]) == "m / a / b"
    assert marker_key([back]) == "m / b / a"
    monkeypatch.setenv("GITHUB_JOB", "gpu")
    assert marker_key([one]) == "gpu / m / a / b"
    file = tmp_path / "c.md"
    carry_out(asked(run.path, marker="mine"), Files(markdown=file), nullcontext())
    assert file.read_text().startswith("<!-- inference-harness compare: mine -->\n")
