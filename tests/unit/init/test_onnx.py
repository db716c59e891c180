"""ONNX files of several shapes: what is found, and that they run with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny_onnx import tiny_onnx

from harness.errors import UsageError
from harness.init.onnx import examine
from harness.models.precision import convert


def embeddings(path: Path, first: int | str = "batch", axis: str = "sequence") -> Path:
    """ids [first, axis] → a table of 50 rows → [first, axis, 4]."""
    table = np.zeros((50, 4), np.float32)
    nodes = [
        helper.make_node("Cast", ["ids"], ["wide"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "wide"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("ids", TensorProto.INT32, [first, axis])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [first, axis, 4])],
        [numpy_helper.from_array(table, "table")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_an_image_network(tmp_path: Path) -> None:
    found = examine(tiny_onnx(tmp_path / "a.onnx"), "a.onnx", "a")
    assert [(s.name, s.dtype, s.shape) for s in found.specs] == [
        ("input", "float32", ("batch", 3, 16, 16))
    ]
    assert (found.fixed_batch, found.dynamic, found.batched) == (None, {}, True)
    assert found.notes[-1].endswith("it runs")


def test_what_a_file_is_in_is_found(tmp_path: Path) -> None:
    assert examine(tiny_onnx(tmp_path / "a.onnx"), "a.onnx", "a").precision == "fp32"
    convert(tmp_path / "a.onnx", tmp_path / "half.onnx", "fp16")
    assert examine(tmp_path / "half.onnx", "half.onnx", "half").precision == "fp16"


def test_a_batch_that_is_fixed(tmp_path: Path) -> None:
    found = examine(tiny_onnx(tmp_path / "a.onnx", batch=4), "a.onnx", "a")
    assert found.fixed_batch == 4
    assert "batch 4: it runs" in found.notes[-1]


def test_ids_are_drawn_from_the_table_that_they_are_looked_up_in(tmp_path: Path) -> None:
    found = examine(embeddings(tmp_path / "a.onnx"), "a.onnx", "a")
    (ids,) = found.inputs
    assert ids.holds == {"range": [0, 50]}
    assert found.dynamic == {"sequence": 128}
    assert found.notes[-1].endswith("it runs")


def test_a_batch_that_nothing_tells_is_taken_and_said(tmp_path: Path) -> None:
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [rows, 4])
             for name, rows in (("p", "one"), ("q", "two"))]  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["q"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["p", "t"], ["y"]),
    ]
    made = [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["one", "two"])]
    graph = helper.make_graph(nodes, "g", given, made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "a.onnx"))
    found = examine(tmp_path / "a.onnx", "a.onnx", "a")
    assert [s.shape for s in found.specs] == [("batch", 4), ("two", 4)]
    assert found.dynamic == {"two": 16}
    assert "not clear" in found.notes[0]
    assert "`one` was taken" in found.notes[0]


def test_what_does_not_run_is_said_with_its_reason(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "a.onnx")
    model = onnx.load(str(path))
    model.graph.node[0].domain = "nowhere"
    model.opset_import.append(helper.make_opsetid("nowhere", 1))
    onnx.save(model, str(path))
    found = examine(path, "a.onnx", "a")
    assert "did not run in ONNX Runtime" in found.notes[-1]


def test_no_onnx_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").write_text("no")
    with pytest.raises(UsageError, match="not a valid ONNX model"):
        examine(tmp_path / "a.onnx", "a.onnx", "a")
