"""ONNX models in fp16 or bf16, for runtimes that take the precision from the graph.

The converter is onnxconverter-common's. It knows fp16 only; a bf16 model gets its structure from
it (where casts go, which operators stay in fp32) and its numbers from the original fp32 weights.
Inputs and outputs keep their types, so every precision answers the same requests.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import BackendError
from harness.models.bfloat16 import to_bits
from harness.system.packages import require

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto

Precision = Literal["fp16", "bf16"]
FP16_MAX = 65504.0
FP16_TINY = 2.0**-24
"""The largest and the smallest positive numbers that fp16 holds."""


def convert(source: Path, target: Path, precision: Precision) -> dict[str, object]:
    """Write the fp32 ONNX model `source` in another precision to `target`; facts about it.

    Raises BackendError when a weight is too large for fp16, when there is nothing to convert, and
    when the converter fails.
    """
    onnx = require("onnx")
    original = onnx.load(str(source))
    floats = list(_tensors(original.graph, onnx.TensorProto.FLOAT))
    if not floats:
        raise BackendError(f"{source.name} has no fp32 weights to convert to {precision}")
    if precision == "fp16":
        _check_range(floats)
    converted = _to_fp16(original)
    if precision == "bf16":
        _to_bf16(converted, onnx.load(str(source)))
    onnx.checker.check_model(converted)
    _save(converted, target)
    return _facts(converted, precision)


def _check_range(tensors: list[TensorProto]) -> None:
    from onnx import numpy_helper

    for tensor in tensors:
        values = np.abs(numpy_helper.to_array(tensor))
        largest = float(values[np.isfinite(values)].max(initial=0.0))
        if largest > FP16_MAX:
            raise BackendError(
                f"{tensor.name or 'a constant'} reaches {largest:g}, and fp16 ends at {FP16_MAX:g}",
                fix="use precision bf16, tf32 or fp32",
            )


def _to_fp16(model: ModelProto) -> ModelProto:
    converter = require("onnxconverter_common.float16")
    try:
        with warnings.catch_warnings():  # it warns of every number below fp16's smallest
            warnings.simplefilter("ignore")
            converted: ModelProto = converter.convert_float_to_float16(
                model, min_positive_val=FP16_TINY, max_finite_val=FP16_MAX, keep_io_types=True
            )
            return converted
    except Exception as error:
        raise BackendError(f"converting to fp16: {type(error).__name__}: {error}") from error


def _to_bf16(converted: ModelProto, original: ModelProto) -> None:
    """Turn every fp16 in `converted` into bf16, with weights from `original`, in place."""
    from onnx import TensorProto, numpy_helper

    half, brain = TensorProto.FLOAT16, TensorProto.BFLOAT16
    values = {t.name: t for t in _tensors(original.graph, TensorProto.FLOAT)}
    for tensor in _tensors(converted.graph, half):
        exact = numpy_helper.to_array(values.get(tensor.name, tensor)).astype(np.float32)
        name = tensor.name
        tensor.CopyFrom(_bfloat16_tensor(exact, name))
    for graph in _graphs(converted.graph):
        for info in (*graph.value_info, *graph.input, *graph.output):
            if info.type.tensor_type.elem_type == half:
                info.type.tensor_type.elem_type = brain
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.name in ("to", "dtype") and attribute.i == half:
                    attribute.i = brain


def _bfloat16_tensor(values: NDArray[np.float32], name: str) -> TensorProto:
    """A bf16 TensorProto: the upper halves of the floats, rounded to nearest even."""
    from onnx import TensorProto

    raw = to_bits(values).astype("<u2").tobytes()
    return TensorProto(name=name, data_type=TensorProto.BFLOAT16, dims=values.shape, raw_data=raw)


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """The graph and those inside its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _graphs(inner)


def _tensors(graph: GraphProto, data_type: int) -> Iterator[TensorProto]:
    """Weights and constants of one type; constants take the name of their node's output."""
    for inner in _graphs(graph):
        yield from (t for t in inner.initializer if t.data_type == data_type)
        for node in inner.node:
            for attribute in node.attribute:
                if attribute.HasField("t") and attribute.t.data_type == data_type:
                    attribute.t.name = attribute.t.name or node.output[0]
                    yield attribute.t


def _save(model: ModelProto, target: Path) -> None:
    onnx = require("onnx")
    large = model.ByteSize() > 2**31 - 2**20  # protobuf's limit; weights then go beside the file
    onnx.save(model, str(target), save_as_external_data=large, location=f"{target.name}.data")


def _facts(model: ModelProto, precision: Precision) -> dict[str, object]:
    """How many weights are in the new type, and which operators stay in fp32."""
    from onnx import TensorProto

    new = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
    kept = {
        n.op_type
        for n in model.graph.node
        if n.op_type != "Cast" and any("_input_cast_" in i for i in n.input)
    }
    return {
        "precision": precision,
        "converted_tensors": sum(1 for _ in _tensors(model.graph, new)),
        "kept_in_fp32": sorted(kept),
    }
