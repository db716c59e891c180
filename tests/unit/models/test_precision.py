from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from support.tiny_onnx import tiny_onnx

from harness.errors import BackendError
from harness.models.precision import convert


def _run(path: Path, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": batch})[0]


def test_fp16_keeps_inputs_and_outputs_and_the_numbers(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    facts = convert(source, tmp_path / "half.onnx", "fp16")
    graph = onnx.load(tmp_path / "half.onnx").graph
    assert {t.data_type for t in graph.initializer} == {TensorProto.FLOAT16}
    for value in (*graph.input, *graph.output):
        assert value.type.tensor_type.elem_type == TensorProto.FLOAT
    assert facts["converted_tensors"] == 3
    batch = np.random.default_rng(1).standard_normal((2, 3, 16, 16)).astype(np.float32)
    exact, half = _run(source, batch), _run(tmp_path / "half.onnx", batch)
    assert half.dtype == np.float32
    assert np.abs(exact - half).max() < 2e-3 * np.abs(exact).max()
    assert not np.array_equal(exact, half)


def test_fp16_keeps_weights_below_the_converters_own_limit(tmp_path: Path) -> None:
    """Its default lifts everything below 1e-7 to 1e-7, though fp16 holds 6e-8."""
    source = tiny_onnx(tmp_path / "tiny.onnx")
    model = onnx.load(source)
    small = np.full((16, 10), 6e-8, np.float32)
    model.graph.initializer[2].CopyFrom(numpy_helper.from_array(small, "w2"))
    onnx.save(model, source)
    convert(source, tmp_path / "half.onnx", "fp16")
    stored = numpy_helper.to_array(onnx.load(tmp_path / "half.onnx").graph.initializer[2])
    assert np.array_equal(stored, small.astype(np.float16))


def test_a_weight_beyond_fp16_is_refused_by_name(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx", scale=1e5)
    with pytest.raises(BackendError, match=r"w1 reaches .*fp16 ends at 65504"):
        convert(source, tmp_path / "half.onnx", "fp16")


def test_bf16_takes_its_numbers_from_the_fp32_weights(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx", scale=1e5)  # far beyond fp16
    convert(source, tmp_path / "brain.onnx", "bf16")
    graph = onnx.load(tmp_path / "brain.onnx").graph
    originals = {t.name: numpy_helper.to_array(t) for t in onnx.load(source).graph.initializer}
    assert graph.initializer
    for tensor in graph.initializer:
        assert tensor.data_type == TensorProto.BFLOAT16
        stored = numpy_helper.to_array(tensor).astype(np.float32)
        exact = originals[tensor.name]
        assert np.all(np.abs(stored - exact) <= 2**-8 * np.abs(exact))
        assert stored.max(initial=0) > 65504 or tensor.name == "b1"
    casts = [a.i for n in graph.node if n.op_type == "Cast" for a in n.attribute]
    assert sorted(casts) == [TensorProto.FLOAT, TensorProto.BFLOAT16]


def test_bf16_reaches_constants_inside_the_graph(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    model = onnx.load(source)
    value = numpy_helper.from_array(np.float32(1e6), "")
    model.graph.node.append(helper.make_node("Constant", [], ["big"], value=value))
    last = next(n for n in model.graph.node if n.op_type == "MatMul")
    last.output[0] = "logits"
    model.graph.node.append(helper.make_node("Mul", ["logits", "big"], ["output"]))
    onnx.save(model, source)
    convert(source, tmp_path / "brain.onnx", "bf16")
    nodes = onnx.load(tmp_path / "brain.onnx").graph.node
    constant = next(n for n in nodes if n.op_type == "Constant").attribute[0].t
    assert constant.data_type == TensorProto.BFLOAT16
    assert numpy_helper.to_array(constant).astype(np.float32) == pytest.approx(1e6, rel=2**-8)


def test_a_model_without_fp32_weights_is_refused(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "tiny.onnx")
    convert(source, tmp_path / "half.onnx", "fp16")
    with pytest.raises(BackendError, match="no fp32 weights"):
        convert(tmp_path / "half.onnx", tmp_path / "again.onnx", "fp16")
