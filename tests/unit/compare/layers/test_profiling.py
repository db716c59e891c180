"""Profiles in blocks, each in a process of the side's own Python."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.compared import write_blocks
from support.tiny_onnx import tiny_onnx

from harness.compare.layers.profiling import Subject, profile_blocks, subjects
from harness.errors import UsageError, WorkerDiedError
from harness.results.rows import ArtifactRow
from harness.results.store import RunStore, read_run
from harness.run.environments import package_alone
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


def subject(name: str, model: str, env: dict[str, str] | None = None) -> Subject:
    command = {"model": model, "provider": "CPUExecutionProvider", "threads": 1, "batch": 1,
               "warmup": 2, "runs": 8}  # fmt: skip
    return Subject(name, sys.executable, env or {}, command)


def test_a_slow_operator_is_first_in_the_table(tmp_path: Path) -> None:
    """The candidate's worker finds the harness as one in another environment does."""
    base = subject("base", resized(tmp_path / "a.onnx", "nearest"))
    env = {PACKAGE_IN: str(package_alone(tmp_path / "cache"))}
    candidate = subject("candidate", resized(tmp_path / "b.onnx", "cubic"), env)
    told: list[str] = []
    found = profile_blocks(base, candidate, tmp_path / "log", told.append, blocks=4)
    assert (found.changes[0].name, found.changes[0].kind) == ("resize", "Resize")
    assert found.changes[0].change_us > 0
    assert {c.name for c in found.changes} == {"relu", "resize", "sigmoid"}
    assert told[-1] == "profiling block 4 of 4"


def test_a_profiler_that_ends_says_why(tmp_path: Path) -> None:
    broken = subject("base", str(tmp_path / "none.onnx"))
    with pytest.raises(WorkerDiedError, match=r"the profiler of base .*none\.onnx"):
        broken.profile(tmp_path / "log")


def test_of_a_run_the_file_and_the_settings_are_taken(tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "tiny.onnx")
    ort = {"kind": "onnxruntime", "provider": "CPUExecutionProvider", "threads": 2}
    lock = {"python": "/env/bin/python", "version": "3.11.7", "packages": {}}
    path = write_blocks(
        tmp_path / "r", {"a": 0.0, "b": 0.0, "c": 0.0}, rounds=1,
        settings={"a": ort, "b": {**ort, "environment": "new"}},
        manifest={"environments": {"new": lock}},
    )  # fmt: skip
    with RunStore.resume(path)[0] as store:
        store.append(ArtifactRow("onnx", str(model), 1, 0.0, False))
    data = read_run(path)
    base, candidate = subjects(data, "a", "b")
    assert (base.python, base.env) == (sys.executable, {})
    assert candidate.python == "/env/bin/python"
    assert base.command["model"] == str(model)
    assert base.command["threads"] == 2
    with pytest.raises(UsageError, match="the layers of c can't be profiled"):
        subjects(data, "a", "c")
