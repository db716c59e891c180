"""A model repository with three ways to serve one model, and the files that they need.

`NAME_python` runs ONNX Runtime in Triton's Python backend, and so on the embedded server;
`NAME_onnxruntime` and `NAME_tensorrt` are for full server images. Their config.pbtxt are kept in
version control, so one that is there is left as it is; the version directories are made here.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from harness.errors import HarnessError
from harness.models.onnx_file import read_graph
from harness.models.tensors import PreparedModel
from harness.scenario.spec.fields import BATCH
from harness.system.files import write_text
from harness.triton.client.settings import TritonSettings
from harness.triton.metadata import ConfigMessage, proto
from harness.triton.repository.change import read_config
from harness.triton.repository.native import FILES, PLATFORMS, make_native_config, place
from harness.triton.repository.write import make_config, model_py, unbatched

PRECISION = {"python": "fp32", "onnxruntime": "fp32", "tensorrt": "fp16"}
"""Variant → precision; what comes after the model's name in the directory's."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One directory of the repository."""

    name: str
    bytes: int
    seconds: float
    """What making its model file took, now or earlier."""
    missing: str = ""
    """Why it has no model file; empty when it has."""


def variant_spec(variant: str, model: PreparedModel) -> TritonSettings:
    """How a variant is served: the Python one on the CPU, so that it runs anywhere.

    Batching is asked for where the model can have it, and a precision that its file is not in
    where that is fp32.
    """
    serve = "onnxruntime" if variant == "python" else variant
    return TritonSettings.model_validate({
        "kind": "triton", "protocol": "grpc", "name": variant, "serve": serve,
        "precision": PRECISION[variant] if model.precision == "fp32" else model.precision,
        "device": "cpu" if variant == "python" else "cuda",
        "dynamic_batching": True if unbatched(model) is None else None,
    })  # fmt: skip


def variant_config(model: PreparedModel, variant: str, max_batch_size: int) -> ConfigMessage:
    """The `ModelConfig` message of `NAME_VARIANT`."""
    model = _as_exported(model)
    spec, name = variant_spec(variant, model), f"{model.name}_{variant}"
    if variant != "python":
        return make_native_config(model, spec, max_batch_size, name)
    config = make_config(model, spec, max_batch_size, name=name)
    config.parameters["onnx"].string_value = "model.onnx"  # beside its model.py
    return config


def _as_exported(model: PreparedModel) -> PreparedModel:
    """The model with the sizes of its ONNX file where that has the batch fixed."""
    path = Path(model.files.get("onnx", ""))
    if not path.is_file():
        return model
    found = {spec.name: spec.shape for spec in read_graph(path)[0]}
    fixed = [
        size for spec in model.inputs if BATCH in spec.shape and spec.name in found
        for size in found[spec.name][spec.shape.index(BATCH) :][:1] if isinstance(size, int)
    ]  # fmt: skip
    if not fixed:
        return model
    inputs, outputs = (
        tuple(replace(s, shape=tuple(fixed[0] if d == BATCH else d for d in s.shape)) for s in all_)
        for all_ in (model.inputs, model.outputs)
    )
    return replace(model, inputs=inputs, outputs=outputs)


def fill(repository: Path, model: PreparedModel, cache: Path) -> list[Filled]:
    """Write what is missing of each variant: its config.pbtxt, and the files of version 1.

    A TensorRT engine can be built only where TensorRT and a GPU are; elsewhere the directory stays
    without, and the reason is in `missing`.
    """
    return [_fill(repository, model, cache, variant) for variant in PRECISION]


def _fill(repository: Path, model: PreparedModel, cache: Path, variant: str) -> Filled:
    name = f"{model.name}_{variant}"
    version = repository / name / "1"
    config = repository / name / "config.pbtxt"
    if not config.exists():
        config.parent.mkdir(parents=True, exist_ok=True)
        message = variant_config(model, variant, model.max_batch_size)
        write_text(config, proto().text(message))
    try:
        source, seconds = _model_file(model, cache, variant, version.parent)
    except HarnessError as error:
        return Filled(name, 0, 0.0, error.message)
    target = version / FILES[PLATFORMS[variant_spec(variant, model).serve or ""]]
    size = place(source, target)
    if variant == "python":
        write_text(version / "model.py", model_py())
        write_text(version / "prepared.json", json.dumps(model.to_json(), indent=1) + "\n")
    return Filled(name, size, seconds)


def _model_file(
    model: PreparedModel, cache: Path, variant: str, directory: Path
) -> tuple[Path, float]:
    if variant != "tensorrt":
        return model.file("onnx"), 0.0
    from harness.backends.base import BackendContext
    from harness.backends.tensorrt.backend import TensorRtBackend
    from harness.triton.repository.engine import engine_spec

    batch = read_config(directory).max_batch_size
    largest = batch or model.max_batch_size
    precision = variant_spec(variant, model).precision
    spec = engine_spec({"precision": precision, "flavor": "tensorrt"}, 0)
    context = BackendContext(
        replace(model, max_batch_size=largest),
        cache=cache,
        batch_sizes=(1, largest) if batch else (largest,),
    )
    with TensorRtBackend(spec, context) as backend:
        details = backend.load().details
    return Path(str(details["engine"])), float(str(details["build_seconds"]))
