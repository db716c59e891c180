"""fp32 graphs rewritten in 16 bits: type inference and ONNX Runtime take them, numbers hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from harness.models.precision import convert

RNG = np.random.default_rng(0)
X = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])
OUT = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 8])
IMAGE = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 16, 16])
node = helper.make_node


def _weight(name: str, *shape: int) -> TensorProto:
    return numpy_helper.from_array((RNG.standard_normal(shape) * 0.3).astype(np.float32), name)


def _constant(name: str, values: object, dtype: type = np.float32) -> NodeProto:
    return node("Constant", [], [name], value=numpy_helper.from_array(np.array(values, dtype)))


def _write(
    path: Path, nodes: list[NodeProto], inputs: list[ValueInfoProto],
    outputs: list[ValueInfoProto], weights: list[TensorProto],
) -> Path:  # fmt: skip
    graph = helper.make_graph(nodes, "g", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    opsets.append(helper.make_opsetid("ai.onnx.ml", 3))
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


def _run(path: Path) -> dict[str, np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng, feeds = np.random.default_rng(1), {}
    for value in session.get_inputs():
        shape = [d if isinstance(d, int) else 3 for d in value.shape]
        floats = value.type == "tensor(float)"
        made = rng.standard_normal(shape) if floats else rng.integers(0, 2, shape)
        feeds[value.name] = made.astype(np.float32 if floats else np.int64)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, feeds), strict=True))


def _agrees(source: Path) -> dict[str, object]:
    """Convert to both, and compare what fp16 computes; the facts of it."""
    target = source.with_name("half.onnx")
    convert(source, target, "bf16")
    facts = convert(source, target, "fp16")
    onnx.checker.check_model(str(target), full_check=True)
    exact, half = _run(source), _run(target)
    assert exact.keys() == half.keys()
    for name, values in exact.items():
        assert half[name].dtype == values.dtype
        assert half[name].shape == values.shape
        assert np.abs(half[name] - values).max() <= 2e-3 * max(1.0, float(np.abs(values).max()))
    return facts


def test_a_mask_that_is_cast_to_float_is_cast_to_half(tmp_path: Path) -> None:
    """`attention_mask.float()`: every sentence encoder."""
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", 8])
    nodes = [
        node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT), node("MatMul", ["x", "w"], ["y"]),
        node("Mul", ["y", "m"], ["out"]),
    ]  # fmt: skip
    facts = _agrees(_write(tmp_path / "m.onnx", nodes, [X, mask], [OUT], [_weight("w", 16, 8)]))
    assert facts["kept_in_fp32"] == []


def test_a_mask_of_the_lowest_float_stays_finite(tmp_path: Path) -> None:
    """`(1 - mask) * finfo.min`, as transformers export it, with constants of the short form."""
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", 8])
    nodes = [
        node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        node("Constant", [], ["one"], value_float=1.0),
        node("Constant", [], ["lowest"], value_float=-3.4028235e38),
        node("Sub", ["one", "m"], ["inverse"]), node("Mul", ["inverse", "lowest"], ["bias"]),
        node("MatMul", ["x", "w"], ["y"]), node("Add", ["y", "bias"], ["z"]),
        node("Softmax", ["z"], ["out"], axis=-1),
    ]  # fmt: skip
    _agrees(_write(tmp_path / "m.onnx", nodes, [X, mask], [OUT], [_weight("w", 16, 8)]))


def test_scales_stay_exact_and_an_operator_in_fp32_may_be_the_last(tmp_path: Path) -> None:
    """1.3 in fp16 would be another size, and rounding the output to fp16 a loss for nothing."""
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4, 20, 20])
    nodes = [
        node("Conv", ["x", "w"], ["y"], pads=[1] * 4), _constant("scales", [1, 1, 1.3, 1.3]),
        node("Resize", ["y", "", "scales"], ["out"], mode="nearest"),
    ]  # fmt: skip
    source = _write(tmp_path / "m.onnx", nodes, [IMAGE], [out], [_weight("w", 4, 3, 3, 3)])
    assert _agrees(source)["kept_in_fp32"] == ["Resize"]
    graph = onnx.load(tmp_path / "half.onnx").graph
    kept = next(t for t in graph.initializer if t.data_type == TensorProto.FLOAT)
    assert numpy_helper.to_array(kept).tolist() == np.float32([1, 1, 1.3, 1.3]).tolist()
    made = [n.op_type for n in graph.node if n.op_type != "Constant"]
    assert made == ["Cast", "Conv", "Cast", "Resize"]


def test_what_makes_fp32_by_default_makes_half(tmp_path: Path) -> None:
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 16])
    nodes = [
        node("Shape", ["x"], ["s"]), node("ConstantOfShape", ["s"], ["zeros"]),
        node("Add", ["x", "zeros"], ["a"]), node("Cast", ["a"], ["d"], to=TensorProto.DOUBLE),
        node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        node("Cast", ["e"], ["out"], to=TensorProto.FLOAT),
    ]  # fmt: skip
    _agrees(_write(tmp_path / "m.onnx", nodes, [X], [out], []))


def test_bodies_of_loops_are_rewritten_with_their_weights(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info
    state, cond = (TensorProto.FLOAT, ["batch", 8]), (TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            node("Identity", ["go"], ["on"]), node("MatMul", ["state", "inner"], ["p"]),
            node("Add", ["p", "b"], ["next"]), node("Identity", ["next"], ["each"]),
        ],
        "body", [value("i", TensorProto.INT64, []), value("go", *cond), value("state", *state)],
        [value("on", *cond), value("next", *state), value("each", *state)],
        [_weight("inner", 8, 8)],
    )  # fmt: skip
    nodes = [
        node("MatMul", ["x", "w"], ["first"]), _constant("n", 3, np.int64),
        _constant("yes", True, np.bool_),
        node("Loop", ["n", "yes", "first"], ["last", "all"], body=body),
        node("Max", ["last", "b"], ["most"]), node("Relu", ["most"], ["out"]),
    ]  # fmt: skip
    outputs = [OUT, value("all", TensorProto.FLOAT, [3, "batch", 8])]
    weights = [_weight("w", 16, 8), _weight("b", 8)]
    facts = _agrees(_write(tmp_path / "m.onnx", nodes, [X], outputs, weights))
    assert facts["kept_in_fp32"] == ["Max"]


def test_types_are_known_behind_operators_that_onnx_does_not_know(tmp_path: Path) -> None:
    nodes = [
        node("Scaler", ["x"], ["s"], domain="ai.onnx.ml", offset=[0.5], scale=[2.0]),
        node("MatMul", ["s", "w"], ["y"]), node("Gelu", ["y"], ["g"], domain="com.microsoft"),
        node("Greater", ["g", "b"], ["c"]), node("Where", ["c", "g", "b"], ["out"]),
    ]  # fmt: skip
    weights = [_weight("w", 16, 8), _weight("b", 8)]
    facts = _agrees(_write(tmp_path / "m.onnx", nodes, [X], [OUT], weights))
    assert facts["kept_in_fp32"] == ["Scaler"]
    assert "refused_nodes" not in facts


def test_a_node_that_the_runtime_refuses_stays_in_fp32_with_the_reason(tmp_path: Path) -> None:
    """com.microsoft's CDist takes fp32 and fp64, which no schema of ONNX's says."""
    nodes = [
        node("MatMul", ["x", "w"], ["y"]),
        node("CDist", ["y", "w"], ["d"], domain="com.microsoft", metric="euclidean", name="far"),
        node("MatMul", ["d", "v"], ["out"]),
    ]  # fmt: skip
    weights = [_weight("w", 16, 16), _weight("v", 16, 8)]
    facts = _agrees(_write(tmp_path / "m.onnx", nodes, [X], [OUT], weights))
    assert facts["kept_in_fp32"] == ["CDist"]
    refused = facts["refused_nodes"]
    assert isinstance(refused, dict)
    assert "far" in refused["far"]


@pytest.mark.parametrize("extra", ["w", "x"])
def test_a_weight_or_an_input_may_be_an_output(tmp_path: Path, extra: str) -> None:
    """Files of the first IR versions also list every weight among the inputs."""
    weight = helper.make_tensor_value_info("w", TensorProto.FLOAT, [16, 8])
    nodes = [node("MatMul", ["x", "w"], ["out"])]
    outputs = [OUT, weight if extra == "w" else X]
    source = _write(tmp_path / "m.onnx", nodes, [X], outputs, [_weight("w", 16, 8)])
    _agrees(source)
    assert len(_run(tmp_path / "half.onnx")) == 2
