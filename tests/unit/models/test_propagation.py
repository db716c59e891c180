"""Sizes that are one, whatever they are called: real files, run at two sizes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from harness.errors import UsageError  # noqa: E402
from harness.models.onnx_file import read_graph, read_inputs  # noqa: E402
from harness.models.propagation import following  # noqa: E402
from harness.models.tensors import PreparedModel, TensorSpec  # noqa: E402

Shape = list[int | str]


def write(path: Path, nodes: list[object], inputs: dict[str, Shape], outputs: dict[str, Shape]):
    """A float file of these nodes, which may use `w`, ones [8, 8]."""
    values = [
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in tensors.items()]
        for tensors in (inputs, outputs)
    ]
    weights = [numpy_helper.from_array(np.ones((8, 8), np.float32), "w")]
    graph = helper.make_graph(nodes, "g", *values, weights)
    opsets = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def read(path: Path, batches=(1, 4), **fields):
    model = PreparedModel("m", {}, "", **{"inputs": (), "outputs": (), **fields})
    inputs, outputs, _ = read_graph(path)
    return read_inputs(path, inputs, outputs, model, batches, following(path, outputs, model))


def shapes(reading) -> list[tuple[int | str, ...]]:
    return [spec.shape for spec in (*reading.inputs, *reading.outputs)]


@pytest.mark.parametrize("names", [
    ["unk__1", "unk__2", "unk__3", "unk__4"], [None] * 4, ["-1"] * 4, ["?"] * 4,
    [f"p2o.DynamicDimension.{i}" for i in range(4)],
])  # fmt: skip
def test_made_up_names_are_matched_across_inputs_and_outputs(tmp_path, names):
    nodes = [helper.make_node("Add", ["x", "state"], ["sum"]),
             helper.make_node("Transpose", ["sum"], ["y"], perm=[1, 0, 2]),
             helper.make_node("ReduceSum", ["other"], ["total"], keepdims=1)]  # fmt: skip
    path = write(
        tmp_path / "m.onnx", nodes,
        {"x": [names[0], 1, 8], "state": [names[1], 1, 8], "other": [3, names[2]]},
        {"y": [1, names[3], 8], "total": [1, 1]},
    )  # fmt: skip
    with pytest.raises(UsageError, match=r"dynamic dimension '\S+' has no size \(of other\)"):
        read(path)
    lacks = read_graph(path)[0][2].shape[1]
    found = read(path, dynamic={lacks: 5})
    assert shapes(found) == [
        ("batch", 1, 8), ("batch", 1, 8), (3, lacks), (1, "batch", 8), (1, 1)
    ]  # fmt: skip
    assert "two sizes" in found.words
    assert found.guessed


def test_a_state_with_the_batch_on_another_axis_follows(tmp_path):
    nodes = [helper.make_node("Add", ["x", "h"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, {"x": [None, 8], "h": [2, None, 8]},
                 {"y": [2, None, 8]})  # fmt: skip
    assert shapes(read(path)) == [("batch", 8), (2, "batch", 8), (2, "batch", 8)]


def test_an_output_of_another_size_is_not_the_batch(tmp_path):
    nodes = [helper.make_node("Concat", ["x", "x"], ["twice"], axis=0),
             helper.make_node("MatMul", ["x", "w"], ["y"])]  # fmt: skip
    path = write(tmp_path / "m.onnx", nodes, {"x": ["batch", 8]},
                 {"twice": ["Concattwice_dim_0", 8], "y": ["MatMuly_dim_0", 8]})  # fmt: skip
    assert shapes(read(path))[1:] == [("Concattwice_dim_0", 8), ("batch", 8)]


def test_independent_first_axes_are_two_candidates(tmp_path):
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"]),
             helper.make_node("MatMul", ["q", "w"], ["z"])]  # fmt: skip
    path = write(tmp_path / "m.onnx", nodes, {"x": [None, 8], "q": [None, 8]},
                 {"y": [None, 8], "z": [None, 8]})  # fmt: skip
    with pytest.raises(UsageError, match=r"x_dim0 \(axis 0 of x\) or q_dim0 \(axis 0 of q\)"):
        read(path)
    assert shapes(read(path, dynamic={"q_dim0": 3})) == [
        ("batch", 8), ("q_dim0", 8), ("batch", 8), ("z_dim0", 8)
    ]  # fmt: skip


def test_outputs_follow_inputs_that_the_scenario_writes(tmp_path):
    nodes = [helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0, 2])]
    path = write(tmp_path / "m.onnx", nodes, {"x": [None, None, 8]}, {"y": [None, None, 8]})
    wanted = TensorSpec("x", "float32", ("words", "batch", 8))
    found = read(path, inputs=(wanted,), dynamic={"words": 7})
    assert shapes(found) == [("words", "batch", 8), ("batch", "y_dim1", 8)]


def test_what_does_not_run_is_read_by_its_names(tmp_path):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    path = write(tmp_path / "m.onnx", nodes, {"x": [None, 8], "shape": [2]}, {"y": [None, 8]})
    assert shapes(read(path)) == [("batch", 8), (2,), ("batch", 8)]
