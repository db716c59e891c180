"""An ONNX file as a model: its inputs, the batch, ranges of ids, and whether it runs like that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, MissingPackageError, UsageError
from harness.init import found as of
from harness.init.found import Found
from harness.models import onnx_file, propagation
from harness.models.batch import Reading, read_batch
from harness.models.inputs import make_inputs
from harness.models.precision import precision_of
from harness.models.tensors import PreparedModel, TensorSpec
from harness.system.packages import require

if TYPE_CHECKING:
    from onnx import ModelProto

Specs = tuple[TensorSpec, ...]


def examine(path: Path, written: str, name: str) -> Found:
    """The file at `path`, which the scenario calls `written`.

    Raises UsageError where it is no ONNX model, MissingPackageError without onnx.
    """
    onnx_file.check_file(path)
    inputs, outputs, _ = onnx_file.read_graph(path)
    reading, notes = _batch(path, inputs, outputs)
    specs = of.usable(reading.inputs)
    rows = _tables(path)
    found = Found(
        "onnx", {"onnx": written}, name, tuple(of.holding(s, rows.get(s.name)) for s in specs),
        of.sizes(specs), of.fixed_batch(inputs, reading.inputs), precision=precision_of(path),
        notes=tuple(notes),
    )  # fmt: skip
    return _tried(path, found)


def _batch(path: Path, inputs: Specs, outputs: Specs) -> tuple[Reading, list[str]]:
    """Where the batch is; where nothing tells, it is the first axis of the first input."""
    model = PreparedModel(path.stem, {"onnx": str(path)}, "", inputs, outputs)
    following = propagation.following(path, outputs, model)
    try:
        reading = read_batch(path.name, inputs, outputs, None, {}, following)
    except UsageError as error:
        first = next(d for s in inputs for d in s.shape if isinstance(d, str))
        others = {
            d: 1 for s in inputs for d in s.shape if isinstance(d, str) and d != first
        }  # the batch must not be looked for among them
        reading = read_batch(path.name, inputs, outputs, None, others, following)
        return reading, [
            f"{error.message}: `{first}` was taken; change the shapes if that is wrong"
        ]
    return reading, [reading.words] if reading.guessed else []


def _tables(path: Path) -> dict[str, int]:
    """Input → rows of the table of weights that it is looked up in (ONNX's Gather)."""
    model: ModelProto = require("onnx").load(str(path), load_external_data=False)
    weights = {t.name: tuple(t.dims) for t in model.graph.initializer}
    same = {v.name: v.name for v in model.graph.input}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in ("Cast", "Identity") and node.input[0] in same:
            same[node.output[0]] = same[node.input[0]]
        if node.op_type == "Gather" and node.input[0] in weights and node.input[1] in same:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            rows = int(weights[node.input[0]][axis])
            name = same[node.input[1]]
            found[name] = min(rows, found.get(name, rows))
    return found


def _tried(path: Path, found: Found) -> Found:
    """The same, with a note of whether the file runs in ONNX Runtime with inputs like that."""
    try:
        require("onnxruntime")
    except MissingPackageError:
        return found
    batch = found.fixed_batch or 1
    try:
        session = onnx_file.cpu_session(path, severity=4)
        session.run(None, dict(make_inputs(found.prepared(), batch, 0)))
    except HarnessError as error:
        note = f"no input could be made: {of.lines_of(error)}"
    except Exception as error:
        note = f"it did not run in ONNX Runtime with such inputs: {of.lines_of(error)}"
    else:
        note = f"tried once in ONNX Runtime on the CPU, batch {batch}: it runs"
    return replace(found, notes=(*found.notes, note))
