"""What two say to the same inputs, for real: the same file, the same in half precision, another."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from support.sample import ready, spec
from support.tiny_onnx import tiny_onnx

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of
from harness.compare.answers import compare_answers
from harness.compare.subjects import Subject, Subjects
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import Parity


def subject(name: str, folder: Path, scale: float) -> Subject:
    path = tiny_onnx(folder / f"{name}.onnx", scale=scale)
    model = ready(spec(inputs=(), onnx=str(path)), folder / "cache", ("onnx",), base=folder)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name=name, threads=1)
    task = {"backend": message_of(settings), "model": model.to_json(), "batches": [1, 2],
            "cache": str(folder / "cache")}  # fmt: skip
    return Subject(name, "onnxruntime", "fp32", sys.executable, {}, task, (1, 2), Measurement())


def test_the_same_weights_and_others(tmp_path: Path) -> None:
    base = subject("base", tmp_path, 0.1)
    same = replace(base, name="same")
    found = compare_answers(Subjects(base, same, Parity(inputs=1)), tmp_path / "out")
    assert found.drift == ""
    assert found.said == (
        "batch 1: both give the same outputs, bit by bit",
        "batch 2: both give the same outputs, bit by bit",
    )
    other = subject("other", tmp_path, 0.2)
    found = compare_answers(Subjects(base, other, Parity(inputs=1)), tmp_path / "out")
    assert "batch 1: the outputs are not the base's: output: " in found.drift
    assert "differ from each other by up to" in found.said[1]
    wide = Parity(inputs=1, max_abs_error=1e3)
    assert compare_answers(Subjects(base, other, wide), tmp_path / "out").drift == ""
    assert (tmp_path / "out" / "other" / "outputs.npz").is_file()
