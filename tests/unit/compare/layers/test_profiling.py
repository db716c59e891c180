"""Profiles in blocks, each in a process of the side's own Python."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.sample import ready, spec

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.registry import message_of
from harness.compare.layers.matching import judge_layers
from harness.compare.layers.profiling import profile_blocks
from harness.compare.subjects import Subject, Subjects
from harness.errors import BackendError, UsageError
from harness.run.environments import package_alone
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import Parity
from harness.system.environment import PACKAGE_IN


def resized(path: Path, mode: str) -> str:
    """A network with a Resize, which is many times slower in the mode `cubic`."""
    scales = np.array([1, 1, 8, 8], np.float32)
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], name="relu"),
        helper.make_node("Resize", ["r", "", "scales"], ["big"], name="resize", mode=mode),
        helper.make_node("Sigmoid", ["big"], ["y"], name="sigmoid"),
    ]
    graph = helper.make_graph(
        nodes, "resized",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4, 256, 256])],
        [numpy_helper.from_array(scales, "scales")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return str(path)


def subject(name: str, folder: Path, mode: str, env: dict[str, str] | None = None) -> Subject:
    path = resized(folder / f"{name}.onnx", mode)
    model = ready(spec(inputs=(), onnx=path), folder / "cache", ("onnx",), base=folder)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name=name, threads=1)
    task = {"backend": message_of(settings), "model": model.to_json(), "batches": [1],
            "cache": str(folder / "cache")}  # fmt: skip
    return Subject(
        name, "onnxruntime", "fp32", sys.executable, env or {}, task, (1,), Measurement()
    )


def test_a_slow_operator_is_first_in_the_table(tmp_path: Path) -> None:
    """The candidate's worker finds the harness as one in another environment does."""
    base = subject("base", tmp_path, "nearest")
    env = {PACKAGE_IN: str(package_alone(tmp_path / "cache"))}
    candidate = subject("candidate", tmp_path, "cubic", env)
    told: list[str] = []
    both = Subjects(base, candidate, Parity())
    found = judge_layers(profile_blocks(both, tmp_path / "out", told.append, blocks=3, runs=8))
    assert (found.changes[0].name, found.changes[0].kind) == ("resize", "Resize")
    assert found.changes[0].change_us > 0
    assert {c.name for c in found.changes} == {"relu", "resize", "sigmoid"}
    assert told[-1] == "profiling block 3 of 3"
    assert (tmp_path / "out" / "candidate" / "onnxruntime.json").is_file()

    torch = replace(candidate, kind="torch")
    with pytest.raises(UsageError, match="`onnxruntime` and `torch` have nothing in common"):
        profile_blocks(replace(both, candidate=torch), tmp_path, print)
    Path(str(candidate.task["model"]["files"]["onnx"])).unlink()  # type: ignore[index]
    with pytest.raises(BackendError, match="onnx"):
        profile_blocks(both, tmp_path, print)
