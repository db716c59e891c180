"""ONNX files: checked, read for inputs and outputs, matched with the scenario, copied."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, get_args

from harness.errors import UsageError
from harness.models.batch import Following, Reading, apply, read_batch
from harness.models.cache import file_hash, text_hash
from harness.models.inputs import check_sizes, one_inference
from harness.models.tensors import BATCH, PreparedModel, TensorSpec
from harness.scenario.spec.fields import DType
from harness.system.packages import require

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import ModelProto, TensorProto, ValueInfoProto
    from onnxruntime import InferenceSession

OPSET = 18
"""What models are exported to: the lowest of torch.export's exporter, so that older runtimes read
the file too. Here and not beside the exporter, because the cache's keys hold it without torch."""
_WITHOUT_TENSORS = ("value_info", "input", "output", "metadata_props", "quantization_annotation")
SILENT = 4
"""ONNX Runtime logs fatal errors only: what is raised is said by whoever asked."""
NAMELESS = ("", "-1", "?", "None")
"""What exporters write where a dynamic dimension has no name."""
Specs = tuple[TensorSpec, ...]


def check_file(path: Path, given: Specs = ()) -> None:
    """Have onnx.checker look at the file (by path, so that external data is found).

    `given` has the shapes of inputs for which the file declares none. Raises UsageError when it is
    no valid ONNX model.
    """
    onnx = require("onnx")
    try:
        model, completed = _complete(path, given)
        onnx.checker.check_model(model if completed else str(path))
    except UsageError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not a valid ONNX model: {reason[:300]}") from error


def cpu_session(path: Path, *, optimised: bool = True, severity: int = 3) -> InferenceSession:
    """The file in ONNX Runtime on the CPU, with its graph optimisations or without.

    It writes log messages from this severity on: 3 is errors, 4 fatal ones.
    """
    ort = require("onnxruntime")
    options = ort.SessionOptions()
    options.log_severity_level = severity
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def no_array(specs: Iterable[TensorSpec]) -> str:
    """Which of the tensors ONNX Runtime's Python package can't take or give; empty for none."""
    kinds = ("bfloat16", "float8", "float4", "int4", "uint4")  # it gives the bits of a float8
    odd = next((s for s in specs if s.dtype.startswith(kinds)), None)
    return f"'{odd.name}' is {odd.dtype}, which ONNX Runtime's Python has not" if odd else ""


def read_graph(path: Path, given: Specs = ()) -> tuple[Specs, Specs, dict[str, object]]:
    """Inputs, outputs and facts (opset, parameters) of a checked file; `given` as there.

    Dynamic dimensions keep their name; one without a name (`-1` and `?` are none) is called
    `NAME_dimAXIS`. Raises UsageError for an input that is no tensor, or of a type that none has.
    """
    model, _ = _complete(path, given)
    graph = model.graph
    inputs = tuple(map(_spec, _inputs(model)))
    if odd := next((spec for spec in inputs if spec.dtype not in get_args(DType)), None):
        raise UsageError(
            f"{path}: input {odd.name} is {odd.dtype}, which no request can hold",
            fix=f"export it with tensors as inputs, of {', '.join(get_args(DType))}",
        )
    outputs = tuple(map(_spec, graph.output))
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    facts = {"opset": opset, "parameters": sum(math.prod(t.dims) for t in graph.initializer)}
    return inputs, outputs, facts


def _load(path: Path) -> ModelProto:
    model: ModelProto = require("onnx").load(str(path), load_external_data=False)
    return model


def _inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The graph's inputs without those that are weights."""
    weights = {t.name for t in model.graph.initializer}
    return [v for v in model.graph.input if v.name not in weights]


def _shapeless(values: Iterable[ValueInfoProto]) -> list[ValueInfoProto]:
    tensors = (v for v in values if v.type.WhichOneof("value") == "tensor_type")
    return [v for v in tensors if not v.type.tensor_type.HasField("shape")]


def _complete(path: Path, given: Specs) -> tuple[ModelProto, bool]:
    """The model with a shape for every input and output, and whether the file lacks some.

    An input's is `given` then, an output's inferred. Raises UsageError naming those that have none.
    """
    model = _load(path)
    bare = _shapeless(_inputs(model))
    if not bare and not _shapeless(model.graph.output):
        return model, False
    shapes = {spec.name: spec.shape for spec in given}
    if lacking := [v.name for v in bare if v.name not in shapes]:
        raise UsageError(
            f"{path} declares no shape for {', '.join(lacking)}",
            fix=f"give it: model: {{inputs: [{{name: {lacking[0]}, shape: [batch, …]}}]}}, and all "
            "other inputs",
        )
    for value in bare:
        value.type.tensor_type.shape.SetInParent()  # of a scalar, which has no dimension
        for size in shapes[value.name]:
            dim = value.type.tensor_type.shape.dim.add()
            if isinstance(size, int):
                dim.dim_value = size
            else:
                dim.dim_param = size
    inferred: ModelProto = require("onnx").shape_inference.infer_shapes(model)
    if left := [v.name for v in _shapeless(inferred.graph.output)]:
        raise UsageError(
            f"{path} declares no shape for its output {', '.join(left)}, and none can be inferred",
            fix="export it with shapes, or declare them with onnx.helper.make_tensor_value_info",
        )
    return inferred, True


def _dims(value: ValueInfoProto) -> list[int | str]:
    """Sizes and names; a size below 0 is a dynamic dimension too."""
    return [
        d.dim_value if d.HasField("dim_value") and d.dim_value >= 0
        else d.dim_param if d.dim_param not in NAMELESS else f"{value.name}_dim{axis}"
        for axis, d in enumerate(value.type.tensor_type.shape.dim)
    ]  # fmt: skip


def _spec(value: ValueInfoProto) -> TensorSpec:
    onnx, what = require("onnx"), value.type.WhichOneof("value")
    if what not in (None, "tensor_type"):  # a classifier's map or sequence of maps, as outputs
        return TensorSpec(value.name, what.removesuffix("_type"), ())
    kind = onnx.TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
    return TensorSpec(value.name, dtype, tuple(_dims(value)))


# ------------------------------------------------------------------------------ with the scenario


def match_inputs(path: Path, found: Specs, wanted: Specs, dynamic: Mapping[str, int]) -> None:
    """Check the scenario's inputs against the file's.

    Raises UsageError naming the input, what was found and what was expected.
    """
    names = {s.name: s for s in found}
    for spec in wanted:
        if spec.name not in names:
            raise UsageError(f"{path} has no input '{spec.name}'; it has {', '.join(names)}")
        _check(path, spec, names[spec.name], dynamic)
    if missing := names.keys() - {s.name for s in wanted}:
        raise UsageError(f"model.inputs lacks '{min(missing)}', an input of {path}")


def read_inputs(
    path: Path, inputs: Specs, outputs: Specs, model: PreparedModel, batches: Sequence[int],
    following: Following | None = None,
) -> Reading:  # fmt: skip
    """The file's inputs and outputs with their batch: as the scenario has it, or else as found.

    `following` finds the dimensions that have the batch's size, where names don't say it.

    Raises UsageError where the scenario does not fit the file, a size is missing, or a batch size
    can't be.
    """
    if model.inputs:
        for sizes in model.sizes:
            match_inputs(path, inputs, model.inputs, model.sized(sizes).dynamic)
        mine = {spec.name: spec.shape for spec in model.inputs}
        sized = tuple(
            replace(s, shape=tuple(
                f if w == BATCH else model.dynamic.get(str(w), w)
                for f, w in zip(s.shape, mine[s.name], strict=True)
            ))
            for s in inputs
        )  # fmt: skip
        _, found = apply(sized, outputs, batch_axes(model.inputs), following)
        reading = Reading(model.inputs, found)
    else:
        reading = read_batch(path.name, inputs, outputs, model.batch, model.dynamic, following)
    check_sizes(reading.inputs, model.dynamic, str(path))
    axes = batch_axes(reading.inputs)
    fixed = {i.name: i.shape for i in inputs if i.name in axes}
    check_batches(str(path), fixed, batches, axes)
    if not axes and set(batches) != {1}:
        raise one_inference(model.name, max(batches))
    return reading


def _check(path: Path, wanted: TensorSpec, found: TensorSpec, dynamic: Mapping[str, int]) -> None:
    sizes = [dynamic.get(d, d) if isinstance(d, str) else d for d in wanted.shape]
    same = len(sizes) == len(found.shape) and all(
        isinstance(f, str) or s in (f, BATCH) for s, f in zip(sizes, found.shape, strict=True)
    )
    if wanted.dtype != found.dtype or not same:
        raise UsageError(
            f"input {wanted.name}: the scenario says {_words(wanted)}, {path} wants {_words(found)}"
        )


def _words(spec: TensorSpec) -> str:
    return f"{spec.dtype} [{', '.join(map(str, spec.shape))}]"


def batch_axes(specs: Specs) -> dict[str, int]:
    """Input → where its batch is, as the scenario or the file says."""
    return {s.name: s.shape.index(BATCH) for s in specs if BATCH in s.shape}


def check_batches(
    where: str, specs: Mapping[str, Sequence[int | str]], batches: Sequence[int],
    axes: Mapping[str, int] | None = None,
) -> None:  # fmt: skip
    """Refuse batch sizes that a file with a fixed batch can't take.

    `specs`: input → shape; `axes`: input → its batch dimension, 0 unless given.
    """
    for name, shape in specs.items():
        axis = (axes or {}).get(name, 0)
        fixed = shape[axis] if axis < len(shape) else None
        wrong = [b for b in batches if isinstance(fixed, int) and b != fixed]
        if wrong:
            raise UsageError(
                f"{where}: input {name} has its batch fixed at {fixed}, "
                f"load.batch_sizes asks for {wrong[0]}",
                fix=f"export it with a dynamic batch, or use batch_sizes: [{fixed}]",
            )


# ------------------------------------------------------------------------------------------ files


def external_data(path: Path) -> list[str]:
    """External data files of the model's tensors, relative to the file. Raises UsageError."""
    tensors = _tensors(_load(path))
    found = {e.value for t in tensors for e in t.external_data if e.key == "location"}
    for location in found:
        parts = PurePosixPath(location)
        if parts.is_absolute() or ".." in parts.parts or not (path.parent / location).is_file():
            raise UsageError(f"{path} needs {location} beside it, which is not there")
    return sorted(found)


def _tensors(message: Message) -> Iterator[TensorProto]:
    """Every tensor in a message at any depth: weights (sparse ones too), constants, those of
    branches, loops and functions.
    """
    for field, value in message.ListFields():
        if field.message_type is None or field.name in _WITHOUT_TENSORS:
            continue
        for part in value if isinstance(value, Sequence) else [value]:
            if field.message_type.name == "TensorProto":
                yield part
            else:
                yield from _tensors(part)


def model_hash(path: Path) -> str:
    """SHA-256 over the file and its external data."""
    return text_hash(file_hash(path), [file_hash(path.parent / x) for x in external_data(path)])


def copy_model(path: Path, target: Path, given: Specs = ()) -> None:
    """Copy the file to `target`, its external data beside it; `given` as for `check_file`."""
    model, completed = _complete(path, given)
    if completed:
        target.write_bytes(model.SerializeToString())
    else:
        shutil.copyfile(path, target)
    for location in external_data(path):
        (target.parent / location).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path.parent / location, target.parent / location)
