from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import quantize_dynamic
from support.tiny_onnx import quantized_onnx, tiny_onnx

from harness.backends.registry import from_message, message_of
from harness.backends.torch.settings import TorchSettings
from harness.errors import BackendError, ScenarioError, UsageError
from harness.models.precision import (
    check_precision,
    convert,
    in_own_precision,
    notes_on,
    precision_of,
)
from harness.models.tensors import PreparedModel
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.fields import FilePrecision
from harness.scenario.spec.scenario import Scenario


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


def test_a_file_that_is_fp16_already_is_named_so(tmp_path: Path) -> None:
    source, half = tiny_onnx(tmp_path / "tiny.onnx"), tmp_path / "half.onnx"
    convert(source, half, "fp16")
    assert (precision_of(source), precision_of(half)) == ("fp32", "fp16")
    with pytest.raises(BackendError, match="is fp16 already"):
        convert(half, tmp_path / "again.onnx", "bf16")
    assert convert(half, tmp_path / "again.onnx", "fp16") == {"precision": "fp16"}
    assert (tmp_path / "again.onnx").read_bytes() == half.read_bytes()
    brain = tmp_path / "brain.onnx"
    convert(source, brain, "bf16")
    assert precision_of(brain) == "bf16"


def test_a_quantized_file_is_int8_though_most_weights_may_be_fp32(tmp_path: Path) -> None:
    source, quantized = tiny_onnx(tmp_path / "tiny.onnx"), tmp_path / "int8.onnx"
    quantize_dynamic(source, quantized, op_types_to_quantize=["MatMul"])
    assert precision_of(quantized) == "int8"
    with pytest.raises(BackendError, match="is int8 already"):
        convert(quantized, tmp_path / "half.onnx", "fp16")


def _agrees(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray]) -> None:
    """Convert x, mask → out to both precisions; fp16 is consistent, loads, and has the numbers."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4, 8, 8])
    mask = helper.make_tensor_value_info("mask", TensorProto.INT64, ["batch", 4, 8, 8])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4, "rows", "columns"])
    made = [numpy_helper.from_array(array, name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "g", [x, mask], [out], made)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    half = path.with_name("half.onnx")
    convert(path, half, "bf16")
    convert(path, half, "fp16")
    onnx.checker.check_model(str(half), full_check=True)
    rng = np.random.default_rng(1)
    feeds = {
        "x": rng.standard_normal((3, 4, 8, 8)).astype(np.float32),
        "mask": rng.integers(0, 2, (3, 4, 8, 8)),
    }
    runs = [onnxruntime.InferenceSession(str(p)).run(None, feeds)[0] for p in (path, half)]
    assert runs[0].dtype == runs[1].dtype
    assert runs[0].shape == runs[1].shape
    assert np.abs(runs[0] - runs[1]).max() <= 2e-3 * np.abs(runs[0]).max()


WEIGHT = {"w": np.random.default_rng(0).standard_normal((8, 8)).astype(np.float32)}


def test_a_mask_that_is_cast_to_float_is_cast_to_half(tmp_path: Path) -> None:
    """`attention_mask.float()` of every sentence encoder; nodes may have no names."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Mul", ["y", "m"], ["out"]),
    ]
    _agrees(tmp_path / "m.onnx", nodes, WEIGHT)


def test_a_cast_before_what_stays_in_fp32_is_not_lost(tmp_path: Path) -> None:
    """int64 would go into Max, whose other side is a float."""
    nodes = [
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Max", ["y", "m"], ["z"]),
        helper.make_node("Relu", ["z"], ["out"]),
    ]
    _agrees(tmp_path / "m.onnx", nodes, WEIGHT)


def test_a_mask_of_the_lowest_float_stays_finite(tmp_path: Path) -> None:
    """`(1 - mask) * finfo.min`: 0 times an infinity would be NaN."""
    lowest = float(np.finfo(np.float32).min)
    nodes = [
        helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], ["one"], value_float=1.0),
        helper.make_node("Constant", [], ["lowest"], value_float=lowest),
        helper.make_node("Sub", ["one", "m"], ["inverse"]),
        helper.make_node("Mul", ["inverse", "lowest"], ["bias"]),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Add", ["y", "bias"], ["z"]),
        helper.make_node("Softmax", ["z"], ["out"], axis=-1),
    ]
    _agrees(tmp_path / "m.onnx", nodes, WEIGHT)


BACKENDS = """
  - {kind: onnxruntime}
  - {kind: onnxruntime, name: mine, threads: 1}
  - {kind: triton, protocol: http, serve: onnxruntime}
"""


def _scenario(folder: Path, backends: str) -> Scenario:
    text = f"scenario: s\nmodel: {{name: m, source: {{onnx: m.onnx}}}}\nbackends:{backends}"
    return load_text(text, "s.yaml", folder)


def test_what_runs_a_quantized_file_is_called_int8(tmp_path: Path) -> None:
    tiny_onnx(tmp_path / "m.onnx")
    scenario = _scenario(tmp_path, BACKENDS)
    (tmp_path / "m.onnx").unlink()
    assert in_own_precision(scenario, tmp_path) is scenario  # prepare says so
    tiny_onnx(tmp_path / "m.onnx")
    assert in_own_precision(scenario, tmp_path) == scenario
    quantized_onnx(tmp_path / "m.onnx")
    found = in_own_precision(scenario, tmp_path)
    assert in_own_precision(found, tmp_path) == found
    assert {b.name: getattr(b, "precision", "") for b in found.backends} == {
        "onnxruntime-cpu-int8": "int8", "mine": "int8", "triton-http-onnxruntime-int8": "int8",
    }  # fmt: skip
    for backend in found.backends:
        assert from_message(message_of(backend)) == backend  # as its worker gets it


def test_a_precision_that_the_file_is_not_is_refused(tmp_path: Path) -> None:
    source = tiny_onnx(tmp_path / "m.onnx")
    int8 = _scenario(tmp_path, "\n  - {kind: onnxruntime, precision: int8}")
    with pytest.raises(UsageError, match="cpu-int8 asks for int8, and the ONNX file is fp32"):
        in_own_precision(int8, tmp_path)
    fp32 = tmp_path / "fp32.onnx"
    source.rename(fp32)
    convert(fp32, source, "fp16")
    both = _scenario(
        tmp_path, "\n  - {kind: onnxruntime}\n  - {kind: onnxruntime, precision: fp16}"
    )
    with pytest.raises(UsageError, match="two backends are the same: onnxruntime-cpu-fp16"):
        in_own_precision(both, tmp_path)
    with pytest.raises(UsageError, match="asks for int8, and the ONNX file is fp16"):
        in_own_precision(int8, tmp_path)


def test_bf16_that_nobody_makes_is_refused_and_a_file_in_it_is_served_as_it_is(
    tmp_path: Path,
) -> None:
    source = tiny_onnx(tmp_path / "m.onnx")
    bf16 = _scenario(tmp_path, "\n  - {kind: onnxruntime, precision: bf16}")
    with pytest.raises(UsageError, match="asks for bf16, and the ONNX file is fp32"):
        in_own_precision(bf16, tmp_path)
    engine = _scenario(tmp_path, "\n  - {kind: tensorrt, precision: bf16}")
    assert in_own_precision(engine, tmp_path) == engine
    fp32 = tmp_path / "fp32.onnx"
    source.rename(fp32)
    convert(fp32, source, "bf16")
    assert in_own_precision(bf16, tmp_path) == bf16
    served = _scenario(tmp_path, "\n  - {kind: triton, protocol: grpc, serve: onnxruntime}")
    (backend,) = in_own_precision(served, tmp_path).backends
    assert (backend.name, backend.formats) == ("triton-grpc-onnxruntime-bf16", {"onnx"})
    assert from_message(message_of(backend)) == backend  # as its worker gets it


def test_what_nothing_is_converted_to_is_of_models_that_can_be_looked_at() -> None:
    text = """
scenario: s
model: {name: m, source: {%s}, inputs: [{name: x, shape: [batch, 2]}]}
backends: [{kind: tensorrt, precision: int8}]
"""
    load_text(text % 'torch: "a:b"', "s.yaml", Path())
    with pytest.raises(
        ScenarioError, match="int8 is here for a model that is int8, from `torch`, "
    ):
        load_text(text % "engine: m.engine", "s.yaml", Path())


FP8 = TensorProto.FLOAT8E4M3FN


def _weighted(path: Path, kind: int, to: int, operator: str, ends: int, opset: int = 21) -> Path:
    """x · (w, brought from `kind` to `to` by an operator), with a few fp32 numbers beside it."""
    value = helper.make_tensor_value_info
    w = helper.make_tensor("w", kind, (16, 8), [1.0] * 128 if kind > 9 or kind == 1 else [1] * 128)
    scale = numpy_helper.from_array(np.full(1, 0.5, helper.tensor_dtype_to_np_dtype(to)), "scale")
    bring = {
        "Cast": helper.make_node("Cast", ["w"], ["wf"], to=to),
        "DequantizeLinear": helper.make_node("DequantizeLinear", ["w", "scale"], ["wf"]),
    }[operator]
    graph = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["xf"], to=to), bring,
         helper.make_node("MatMul", ["xf", "wf"], ["yf"]),
         helper.make_node("Cast", ["yf"], ["y"], to=ends)],
        "g", [value("x", ends, ["batch", 16])], [value("y", ends, ["batch", 8])], [w, scale],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))
    return path


@pytest.mark.parametrize(
    ("kind", "to", "operator", "ends", "found"),
    [
        (TensorProto.DOUBLE, TensorProto.DOUBLE, "Cast", TensorProto.DOUBLE, "fp64"),
        (TensorProto.DOUBLE, TensorProto.DOUBLE, "Cast", TensorProto.FLOAT, "fp64"),
        (TensorProto.FLOAT16, TensorProto.FLOAT, "Cast", TensorProto.FLOAT, "fp16"),
        (TensorProto.INT8, TensorProto.FLOAT, "Cast", TensorProto.FLOAT, "int8"),
        (TensorProto.UINT8, TensorProto.FLOAT, "Cast", TensorProto.FLOAT, "fp32"),
        (FP8, TensorProto.FLOAT, "Cast", TensorProto.FLOAT, "fp8"),
        (FP8, TensorProto.FLOAT, "DequantizeLinear", TensorProto.FLOAT, "fp8"),
        (TensorProto.UINT8, TensorProto.FLOAT, "DequantizeLinear", TensorProto.FLOAT, "int8"),
        (TensorProto.UINT4, TensorProto.FLOAT16, "DequantizeLinear", TensorProto.FLOAT, "int4"),
    ],
)  # fmt: skip
def test_what_a_file_is_in_is_named_after_its_weights(
    tmp_path: Path, kind: int, to: int, operator: str, ends: int, found: str
) -> None:
    path = _weighted(tmp_path / "m.onnx", kind, to, operator, ends)
    assert precision_of(path) == found
    plain = _scenario(tmp_path, "\n  - {kind: onnxruntime}")
    (backend,) = in_own_precision(plain, tmp_path).backends
    assert (backend.name, backend.precision) == (f"onnxruntime-cpu-{found}", found)
    assert from_message(message_of(backend)) == backend  # as its worker gets it
    if found not in ("fp32", "fp16"):
        half = _scenario(tmp_path, "\n  - {kind: onnxruntime, precision: fp16}")
        with pytest.raises(UsageError, match=f"asks for fp16, and the ONNX file is {found}"):
            in_own_precision(half, tmp_path)
        with pytest.raises(BackendError, match=f"is {found} already; fp16 is made of fp32"):
            convert(path, tmp_path / "half.onnx", "fp16")


def test_a_file_without_weights_is_in_what_goes_in_and_out(tmp_path: Path) -> None:
    for kind, found in ((TensorProto.DOUBLE, "fp64"), (TensorProto.FLOAT16, "fp16")):
        x, y = (helper.make_tensor_value_info(name, kind, ["batch", 4]) for name in "xy")
        graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
        onnx.save(helper.make_model(graph), str(tmp_path / "m.onnx"))
        assert precision_of(tmp_path / "m.onnx") == found


@pytest.mark.parametrize(("found", "fits"), [
    ("fp32", {"fp32", "tf32", "fp16", "bf16"}), ("fp64", {"fp64", "fp16", "bf16"}),
    ("int8", {"int8"}), ("fp8", {"fp8"}),
])  # fmt: skip
def test_a_module_runs_as_what_it_is_or_in_what_it_can_be_cast_to(
    found: str, fits: set[str]
) -> None:
    model = PreparedModel("m", {"torch": "a:b"}, "k", (), (), precision=found)
    for asked in get_args(FilePrecision):
        spec = TorchSettings.model_construct(kind="torch", name="t", precision=asked)
        if asked in fits:
            check_precision(model, [spec])
            continue
        with pytest.raises(UsageError, match=f"m is {found} .* not {asked}, as t would have it"):
            check_precision(model, [spec])


def test_where_16_bits_are_widened_the_backends_that_do_so_are_named() -> None:
    model = PreparedModel("m", {"torch": "a:b"}, "k", (), (), widened="bf16", notes=("read so",))
    specs = [
        TorchSettings.model_construct(kind="torch", name=name, precision=precision)
        for name, precision in (("own", "bf16"), ("a", "fp32"), ("b", "fp32"), ("c", "fp16"))
    ]
    assert list(notes_on(model, specs)) == [
        "m: read so",
        "m: the weights are bf16, but not in a (fp32), b (fp32), c (fp16)",
    ]
    assert list(notes_on(replace(model, widened=""), specs)) == ["m: read so"]
