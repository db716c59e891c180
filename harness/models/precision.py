"""ONNX models in fp16 or bf16, for runtimes that take the precision from the graph.

`half` rewrites the graph; here are its numbers, and the proof that a runtime takes the file. What
a file is in already is read off its operators and weights.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from harness.errors import BackendError, MissingPackageError, UsageError
from harness.models.bfloat16 import to_bits
from harness.models.onnx_file import copy_model, cpu_session
from harness.system.packages import require

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

    from harness.models.tensors import PreparedModel
    from harness.scenario.spec.backend import AnyBackend
    from harness.scenario.spec.scenario import Scenario

Precision = Literal["fp16", "bf16"]
FP16_MAX = 65504.0
FP16_TINY = 2.0**-24
"""The largest and the smallest positive numbers that fp16 holds."""
BF16_MAX = np.float32((2 - 2**-7) * 2.0**127)
"""fp32's own largest would be rounded to infinity."""
MOST_REFUSED = 50
"""Nodes that are put back to fp32, one by one, before the conversion is given up."""
QUANTIZED = re.compile(
    r"(Quantize|Dequantize|DynamicQuantize)Linear|QLinear\w+|QGemm|QAttention|\w+Integer|MatMulNBits"
)
"""Operators of quantized models in the QDQ, the QOperator and the dynamic form."""
ELEMENTS = {
    "fp32": "FLOAT", "fp16": "FLOAT16", "bf16": "BFLOAT16", "fp64": "DOUBLE",
    "fp8": r"FLOAT8\w+", "int8": "INT8", "int4": "U?INT4",
}  # fmt: skip
"""Precision → the types of its weights. UINT8 is none: it may be a mask, a table, a picture."""
CASTS = {"fp32": ("fp32", "tf32", "fp16", "bf16"), "fp64": ("fp64", "fp16", "bf16")}
"""What a PyTorch model may be asked for by what it is; any other is itself only."""


def precision_of(path: Path) -> str:
    """What an ONNX file is in: of `ELEMENTS` what most of its weights are, or without any what goes
    in and out; where it is quantized, the type that it is quantized to.
    """
    from onnx import TensorProto

    from harness.models.half import graphs

    model, sizes = _load(path, weights=False), dict.fromkeys(ELEMENTS, 0)
    ends = [v.type.tensor_type.elem_type for v in (*model.graph.input, *model.graph.output)]
    for name, kind in TensorProto.DataType.items():
        for word in (w for w, pattern in ELEMENTS.items() if re.fullmatch(pattern, name)):
            sizes[word] += sum(prod(t.dims) for t in _tensors(model, kind)) + ends.count(kind)
    nodes = [node for graph in graphs(model.graph) for node in graph.node]
    if quantized := [node for node in nodes if QUANTIZED.match(node.op_type)]:
        bits = [a.i for node in quantized for a in node.attribute if a.name == "bits"]
        return "int4" if 4 in bits or sizes["int4"] else "fp8" if sizes["fp8"] else "int8"
    return max(sizes, key=lambda word: sizes[word])


def check_precision(model: PreparedModel, specs: Iterable[AnyBackend]) -> None:
    """Raise UsageError where a PyTorch model is in another precision than a backend says, and is
    not made so: what is quantized, and what says that it is.
    """
    found = model.precision
    asked = {spec.name: getattr(spec, "precision", found) for spec in specs}
    wrong = [name for name, word in asked.items() if word not in CASTS.get(found, (found,))]
    if wrong and next(iter(model.source)) in ("torch", "exported_program"):
        raise UsageError(
            f"{model.name} is {found} (a quantized layer, or most of its weights), and not "
            f"{asked[wrong[0]]}, as {' and '.join(wrong)} would have it",
            fix=f"write `precision: {found}` there, which runs it as it is",
        )


def notes_on(model: PreparedModel, specs: Iterable[AnyBackend]) -> Iterator[str]:
    """How it was read, and which backends run a module of 16 bits in another precision."""
    yield from (f"{model.name}: {note}" for note in model.notes)
    asked = {s.name: getattr(s, "precision", "fp32") for s in specs if model.widened}
    if others := [f"{name} ({word})" for name, word in asked.items() if word != model.widened]:
        yield f"{model.name}: the weights are {model.widened}, but not in {', '.join(others)}"


def in_own_precision(scenario: Scenario, base: Path) -> Scenario:
    """The scenario with its backends' precision, and names made of it, as its ONNX file is.

    What runs the file as it is says `fp32` by default, which a file in fp16, bf16 or int8 is not.
    One that can't be read is left to `prepare`, which says why. Raises UsageError where a backend
    asks for bf16 or int8 that the file is not.
    """
    path = base / str(scenario.model.source.onnx)
    if scenario.model.source.kind != "onnx" or not path.is_file():
        return scenario
    try:
        found = precision_of(path)
    except Exception:
        return scenario
    backends = tuple(_in_precision(spec, found) for spec in scenario.backends)
    names = [spec.name for spec in backends]
    if twice := {name for name in names if names.count(name) > 1}:
        raise UsageError(
            f"the ONNX file is {found} already, so that two backends are the same: {min(twice)}",
            fix="remove one, or give each its own `name`",
        )
    return scenario.model_copy(update={"backends": backends})


def _in_precision(spec: AnyBackend, found: str) -> AnyBackend:
    asked = getattr(spec, "precision", found)
    builds = "onnxruntime" not in (spec.kind, getattr(spec, "serve", None))  # its own precision
    made = asked == "fp16" and (found == "fp32" or builds)
    if asked in (found, "tf32") or made or (builds and (asked, found) == ("bf16", "fp32")):
        return spec
    if asked != "fp32":
        raise UsageError(
            f"backend {spec.name} asks for {asked}, and the ONNX file is {found}",
            fix="leave `precision` out, which runs the file as it is",
        )
    unnamed = {"name": ""}
    made = spec.name == spec.model_copy(update=unnamed).own_name
    own = spec.model_copy(update={"precision": found, **(unnamed if made else {})})
    return own.model_copy(update={"name": own.own_name})


def convert(source: Path, target: Path, precision: Precision) -> dict[str, object]:
    """Write the fp32 ONNX model `source` in another precision to `target`; facts about it.

    A node that ONNX Runtime refuses in 16 bits stays in fp32. Raises BackendError when a weight is
    too large for fp16, when the file is in another precision already, and when nothing helps.
    """
    from onnx import TensorProto

    if (found := precision_of(source)) == precision:
        copy_model(source, target)
        return {"precision": found}
    if found != "fp32":
        raise BackendError(
            f"the ONNX file is {found} already; {precision} is made of fp32 files only",
            fix=f"write `precision: {found}`, which runs it as it is, or give an fp32 file",
        )
    original, types = _load(source), fp32_values(source, precision)
    if precision == "fp16":
        _check_range(_tensors(original, TensorProto.FLOAT))
    judged = not _refusal(source)  # else this ONNX Runtime lacks what the model needs
    refused: dict[str, str] = {}
    operators = _write(original, types, target, "fp16", refused)
    while judged and (refusal := _refusal(target)):
        node = _refused_node(refusal, original, refused)
        if not node:
            raise BackendError(f"in {precision}, ONNX Runtime refuses it: {refusal[:300]}")
        refused[node] = refusal
        operators = _write(original, types, target, "fp16", refused)
    if precision == "bf16":  # its twin was judged: on the CPU ONNX Runtime has next to no bf16
        _write(original, types, target, "bf16", refused)
    half = TensorProto.FLOAT16 if precision == "fp16" else TensorProto.BFLOAT16
    return {
        "precision": precision, "kept_in_fp32": sorted(operators),
        "converted_tensors": sum(1 for _ in _tensors(_load(target, weights=False), half)),
        **({"refused_nodes": refused} if refused else {}),
    }  # fmt: skip


def fp32_values(path: Path, precision: str) -> dict[str, int]:
    """The types of an ONNX file's values. Raises UsageError where none is fp32, to be converted."""
    from onnx import TensorProto

    from harness.models.half import value_types

    types = value_types(_load(path, weights=False))
    if TensorProto.FLOAT not in types.values():
        raise UsageError(
            f"the ONNX file has no fp32 tensor that {precision} could stand for",
            fix="leave `precision` out, which runs the file as it is",
        )
    return types


def _load(path: Path, *, weights: bool = True) -> ModelProto:
    """The model without functions of its own, each node named; `weights` in files beside it too."""
    from harness.models.half import name_nodes

    onnx = require("onnx")
    model: ModelProto = onnx.load(str(path), load_external_data=weights)
    if model.functions:
        from onnx.inliner import inline_local_functions

        model = inline_local_functions(model)
    name_nodes(model)
    return model


def _write(
    original: ModelProto, types: Mapping[str, int], target: Path, precision: Precision,
    keep: Iterable[str],
) -> set[str]:  # fmt: skip
    """Convert and save it, the nodes of `keep` left in fp32; the operators that stayed so."""
    import onnx

    from harness.models.half import Rewriter

    model = deepcopy(original)
    half = onnx.TensorProto.FLOAT16 if precision == "fp16" else onnx.TensorProto.BFLOAT16
    tensor = _fp16_tensor if precision == "fp16" else _bf16_tensor
    rewriter = Rewriter(model, types, half, tensor, frozenset(keep))
    rewriter.run()
    large = model.ByteSize() > 2**31 - 2**20  # protobuf's limit; weights then go beside the file
    beside = f"{target.name}.data"
    (target.parent / beside).unlink(missing_ok=True)
    onnx.save(model, str(target), save_as_external_data=large, location=beside)
    onnx.checker.check_model(str(target))
    return rewriter.kept


def _refusal(path: Path) -> str:
    """What full type inference or ONNX Runtime (where it is installed) has against a file."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
        cpu_session(path, optimised=False)
    except MissingPackageError:
        return ""
    except Exception as error:
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _refused_node(refusal: str, model: ModelProto, refused: Iterable[str]) -> str:
    """The node that ONNX Runtime names, empty where it names none, or one that is fp32 already."""
    from harness.models.half import graphs

    names = {node.name for graph in graphs(model.graph) for node in graph.node} - {*refused}
    quoted = re.findall(r"""node\W+(?:(?:with )?name\W+)?([^'")]+)""", refusal, re.IGNORECASE)
    found = [name for name in quoted if name in names]
    return found[0] if found and len([*refused]) < MOST_REFUSED else ""


def _check_range(tensors: Iterable[TensorProto]) -> None:
    """Refuse weights beyond fp16; a lone number (the −3.4e38 of a mask) may become its largest."""
    from onnx import numpy_helper

    for tensor in tensors:
        values = np.abs(numpy_helper.to_array(tensor))
        largest = float(values[np.isfinite(values)].max(initial=0.0))
        if largest > FP16_MAX and values.size > 1:
            raise BackendError(
                f"{tensor.name or 'a constant'} reaches {largest:g}, and fp16 ends at {FP16_MAX:g}",
                fix="use precision bf16, tf32 or fp32",
            )


def _fp16_tensor(tensor: TensorProto) -> TensorProto:
    """Rounded to nearest; what is not 0 stays so (an epsilon to divide by), and finite."""
    from onnx import numpy_helper

    values = numpy_helper.to_array(tensor)
    small = (values != 0) & (np.abs(values) < FP16_TINY)
    finite = np.where(np.isfinite(values), np.clip(values, -FP16_MAX, FP16_MAX), values)
    exact = np.where(small, np.copysign(np.float32(FP16_TINY), values), finite)
    return numpy_helper.from_array(exact.astype(np.float16), tensor.name)


def _bf16_tensor(tensor: TensorProto) -> TensorProto:
    """The upper halves of the floats, rounded to nearest even."""
    from onnx import TensorProto, numpy_helper

    values: NDArray[np.float32] = numpy_helper.to_array(tensor).astype(np.float32)
    values = np.where(np.isfinite(values), np.clip(values, -BF16_MAX, BF16_MAX), values)
    raw = to_bits(values).astype("<u2").tobytes()
    kind = TensorProto.BFLOAT16
    return TensorProto(name=tensor.name, data_type=kind, dims=values.shape, raw_data=raw)


def _tensors(model: ModelProto, data_type: int) -> Iterator[TensorProto]:
    """Weights and constants of one type, at any depth."""
    from harness.models.half import graphs

    for graph in graphs(model.graph):
        yield from (t for t in graph.initializer if t.data_type == data_type)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t") and attribute.t.data_type == data_type:
                    yield attribute.t
