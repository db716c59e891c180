"""The two backends of a run opened again: which, by which Python, and which can't be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from support.opened import begun
from support.tiny_onnx import tiny_onnx

from harness.compare.subjects import subjects
from harness.errors import BackendError, InterpreterError, UsageError

SCENARIO = f"""
scenario: two
model: {{name: tiny, source: {{onnx: tiny.onnx}}, parity: {{inputs: 2}}}}
environments:
  own: {{python: {sys.executable}}}
  none: {{python: /nowhere/python}}
backends:
  - {{name: a, kind: onnxruntime, threads: 1}}
  - {{name: b, kind: onnxruntime, threads: 2, environment: own}}
  - {{name: absent, kind: onnxruntime, environment: none}}
  - {{name: served, kind: triton, protocol: http, serve: onnxruntime}}
load: {{batch_sizes: [1, 2], concurrency: [1]}}
"""


def test_which_backends_of_a_run_are_opened_again_and_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tiny_onnx(tmp_path / "tiny.onnx")
    run = begun(tmp_path, SCENARIO)
    both = subjects(run, "a", "b", print)
    assert [(s.name, s.kind, s.precision, s.python) for s in both.pair()] == [
        ("a", "onnxruntime", "fp32", sys.executable), ("b", "onnxruntime", "fp32", sys.executable)
    ]  # fmt: skip
    assert both.parity.inputs == 2
    assert both.base.batches == (1, 2)
    assert "HARNESS_PACKAGE_IN" not in both.base.env
    assert "HARNESS_PACKAGE_IN" in both.candidate.env  # of an environment: the harness alone
    said = both.candidate.ask("layers", tmp_path / "l.log", tmp_path / "l", batch=2, runs=2)
    assert "MatMul" in {x["type"] for x in said["layers"]}
    with pytest.raises(BackendError, match="non-negative"):
        both.base.ask("layers", tmp_path / "l.log", tmp_path / "l", batch=-1, runs=2)
    with pytest.raises(UsageError, match=r"served can't be looked at from close: `triton`"):
        subjects(run, "a", "served", print)
    with pytest.raises(InterpreterError, match=r"there is no /nowhere/python"):
        subjects(run, "a", "absent", print)
