"""ONNX models in fp16 or bf16, for runtimes that take the precision from the graph.

The converter is onnxconverter-common's. It knows fp16 only; a bf16 model gets its structure from
it (where casts go, which operators stay in fp32) and its numbers from the original fp32 weights.
Inputs and outputs keep their types, so every precision answers the same requests.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from unittest import mock

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
BF16_MAX = np.float32((2 - 2**-7) * 2.0**127)
"""fp32's own largest would be rounded to infinity."""
QUANTIZED = re.compile(r"(Dynamic|De)?[Qq]uantizeLinear|QLinear|QGemm|\w+Integer")
"""Operators of int8 models, in the QDQ, the QOperator and the dynamic form."""


def convert(source: Path, target: Path, precision: Precision) -> dict[str, object]:
    """Write the fp32 ONNX model `source` in another precision to `target`; facts about it.

    Raises BackendError when a weight is too large for fp16, when the file is in another precision
    already, and when the converter fails.
    """
    onnx = require("onnx")
    original = onnx.load(str(source))
    if (found := precision_of(original)) != "fp32":
        raise BackendError(f"the ONNX file is {found} already; {precision} is made of fp32 files")
    floats = list(_tensors(original.graph, onnx.TensorProto.FLOAT))
    if precision == "fp16":
        _check_range(floats)
    converted = _to_fp16(original)
    if precision == "bf16":
        _to_bf16(converted, onnx.load(str(source)))
    onnx.checker.check_model(converted)
    _save(converted, target)
    return _facts(converted, precision)


def precision_of(model: ModelProto) -> str:
    """What a model is in: int8 if it is quantized, else fp32, fp16 or bf16, as most weights are."""
    if any(QUANTIZED.match(n.op_type) for graph in _graphs(model.graph) for n in graph.node):
        return "int8"
    kinds = {"fp32": 1, "fp16": 10, "bf16": 16}  # ONNX's numbers of them
    return max(kinds, key=lambda k: sum(math.prod(t.dims) for t in _tensors(model.graph, kinds[k])))


def _check_range(tensors: list[TensorProto]) -> None:
    from onnx import numpy_helper

    for tensor in tensors:
        values = np.abs(numpy_helper.to_array(tensor))
        largest = float(values[np.isfinite(values)].max(initial=0.0))
        if largest > FP16_MAX and values.size > 1:  # a lone −3.4e38, of a mask, becomes −65504
            raise BackendError(
                f"{tensor.name or 'a constant'} reaches {largest:g}, and fp16 ends at {FP16_MAX:g}",
                fix="use precision bf16, tf32 or fp32",
            )


def _to_fp16(model: ModelProto) -> ModelProto:
    converter = require("onnxconverter_common.float16")
    try:
        with (
            warnings.catch_warnings(),  # it warns of every number below fp16's smallest
            mock.patch.object(converter, "remove_unnecessary_cast_node"),  # also of the model's
        ):
            warnings.simplefilter("ignore")
            converted: ModelProto = converter.convert_float_to_float16(
                _casts_to_fp16(model, converter.DEFAULT_OP_BLOCK_LIST), FP16_TINY, FP16_MAX,
                keep_io_types=True, disable_shape_infer=True, check_fp16_ready=False,
            )  # fmt: skip
            return converted
    except Exception as error:
        raise BackendError(f"converting to fp16: {type(error).__name__}: {error}") from error


def _casts_to_fp16(model: ModelProto, blocked: Collection[str]) -> ModelProto:
    """What the model itself casts to fp32, or makes in it, the converter leaves as it is.

    Types are inferred before: the converter goes by them. It names casts after nodes, and nodes
    without a name would share theirs.
    """
    from onnx import TensorProto, helper, numpy_helper, shape_inference

    typed = shape_inference.infer_shapes(model)
    for index, node in enumerate(n for graph in _graphs(typed.graph) for n in graph.node):
        node.name = f"{node.name or node.op_type}_{index}"
        for attribute in [] if node.op_type in blocked else node.attribute:
            if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
                attribute.i = TensorProto.FLOAT16
            if attribute.name == "value_float":
                number = numpy_helper.from_array(np.array(attribute.f, np.float32))
                attribute.CopyFrom(helper.make_attribute("value", number))
    return typed


def _to_bf16(converted: ModelProto, original: ModelProto) -> None:
    """Turn every fp16 in `converted` into bf16, with weights from `original`, in place."""
    from onnx import TensorProto, numpy_helper

    half, brain = TensorProto.FLOAT16, TensorProto.BFLOAT16
    values = {t.name: t for t in _tensors(original.graph, TensorProto.FLOAT)}
    for tensor in _tensors(converted.graph, half):
        exact = numpy_helper.to_array(values.get(tensor.name, tensor)).astype(np.float32)
        exact = np.where(np.isfinite(exact), np.clip(exact, -BF16_MAX, BF16_MAX), exact)
        tensor.CopyFrom(_bfloat16_tensor(exact, tensor.name))
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
