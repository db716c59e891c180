"""Model directories for Triton: config.pbtxt by its protobuf, and the model.py that runs the model.

    REPOSITORY/NAME/config.pbtxt
    REPOSITORY/NAME/1/model.py         a copy of `templates/python_model.py`
    REPOSITORY/NAME/1/prepared.json    `PreparedModel`, for the torch and TensorRT runners
    REPOSITORY/NAME/1/loaded-*.json    what each instance loaded, written by it (TensorRT)

The Python backend runs the model, so one server binary serves every runtime that this Python has.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from harness.errors import ModelRefusedError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.scenario.spec.fields import BATCH
from harness.system.files import write_text
from harness.triton.client.settings import TritonSettings
from harness.triton.dtypes import to_config
from harness.triton.metadata import ConfigMessage, proto
from harness.triton.repository.change import merged, set_batching
from harness.triton.repository.engine import ENGINE_KEYS, LOADED

TITLES = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch", "tensorrt": "TensorRT"}


def write_model(
    repository: Path, model: PreparedModel, spec: TritonSettings, max_batch_size: int,
    cache: Path | None = None, name: str | None = None,
) -> str:  # fmt: skip
    """Write (or replace) the model's directory in `repository`; the name it is served under.

    `spec` holds single values, no lists. `cache` is where TensorRT engines are kept; `name` is the
    model's own unless given. Raises ModelRefusedError for what Triton can't serve, BackendError
    when the prepared file is missing.
    """
    name = name or model.name
    config = make_config(model, spec, max_batch_size, cache, name)
    directory = repository / name
    version = directory / "1"
    version.mkdir(parents=True, exist_ok=True)
    for old in version.glob(LOADED.format("*")):
        old.unlink()
    write_text(version / "prepared.json", json.dumps(model.to_json(), indent=1) + "\n")
    write_text(version / "model.py", model_py())
    write_text(directory / "config.pbtxt", proto().text(config))
    return name


def model_py() -> str:
    """The text of the model.py that runs a prepared model."""
    source = files("harness.triton.repository") / "templates" / "python_model.py"
    return source.read_text(encoding="utf-8")


def make_config(
    model: PreparedModel, spec: TritonSettings, max_batch_size: int, cache: Path | None = None,
    name: str | None = None,
) -> ConfigMessage:  # fmt: skip
    """The `ModelConfig` message for `model` as `spec` wants it served.

    Where a tensor's first dimension is not the batch, Triton can't batch: the configuration has
    max_batch_size 0 and full shapes. Raises ModelRefusedError, BackendError.
    """
    config = proto().ModelConfig(name=name or model.name, backend="python")
    _check(model, spec)
    describe_model(config, model, spec, max_batch_size)
    for key, value in _parameters(model, spec, cache).items():
        config.parameters[key].string_value = value
    return merged(config, spec.config_fields)


def describe_model(
    config: ConfigMessage, model: PreparedModel, spec: TritonSettings, max_batch_size: int
) -> None:
    """Fill in what every backend of Triton reads: tensors, batching and instances.

    Raises ModelRefusedError.
    """
    if not model.inputs or not model.outputs:
        raise ModelRefusedError(
            f"no inputs or no outputs of '{model.name}' are known, and Triton wants both"
        )
    odd = unbatched(model)
    batched = odd is None
    if odd is None:
        config.max_batch_size = max_batch_size
    elif spec.batching is not None:
        raise ModelRefusedError(
            f"dynamic_batching needs the batch as the first dimension of every input and output; "
            f"'{odd.name}' is [{', '.join(map(str, odd.shape))}]"
        )
    for tensor in model.inputs:
        config.input.add(**_tensor(tensor, batched))
    for tensor in model.outputs:
        config.output.add(**_tensor(tensor, batched))
    _add_instances(config, spec)
    if spec.batching is not None:
        set_batching(config, spec.batching)


def unbatched(model: PreparedModel) -> TensorSpec | None:
    """An input or output whose first dimension is not the batch, so that Triton can't batch."""
    specs = (*model.inputs, *model.outputs)
    return next((s for s in specs if s.shape[:1] != (BATCH,) or BATCH in s.shape[1:]), None)


def _check(model: PreparedModel, spec: TritonSettings) -> None:
    half = [s.name for s in (*model.inputs, *model.outputs) if s.dtype == "bfloat16"]
    if half and spec.serve != "torch":
        raise ModelRefusedError(
            f"'{half[0]}' is bfloat16, which {TITLES[str(spec.serve)]} in Triton's Python backend "
            "can't take",
            fix="serve: torch for a model in PyTorch, or give a file that takes and gives fp32",
        )


def _tensor(spec: TensorSpec, batched: bool) -> dict[str, object]:
    """Fields of a ModelInput or ModelOutput.

    Triton wants a dimension besides the batch: a tensor without one gets a 1. The client hides it
    from the caller, Triton from a model that it batches, and our model.py from any other. A size of
    0 may be any size there.
    """
    dims = spec.shape[1:] if batched else spec.shape
    fields: dict[str, object] = {
        "name": spec.name,
        "data_type": proto().DataType.Value(to_config(spec.dtype, spec.name)),
        "dims": [d if isinstance(d, int) and d else -1 for d in dims] or [1],
    }
    return {**fields, "reshape": {"shape": []}} if batched and not dims else fields


def _add_instances(config: ConfigMessage, spec: TritonSettings) -> None:
    group = proto().ModelInstanceGroup
    gpu = gpu_index(spec.device)
    config.instance_group.add(
        count=spec.instance_count,
        kind=group.KIND_CPU if gpu is None else group.KIND_GPU,
        gpus=[] if gpu is None else [gpu],
    )


def gpu_index(device: str) -> int | None:
    """The GPU's number as the server counts; None for the CPU.

    A GPU named by its UUID is the only one that the server sees (`device_env`), so it is 0.
    """
    if device == "cpu":
        return None
    return int(device.partition(":")[2] or 0) if device.startswith("cuda") else 0


def device_env(device: str) -> dict[str, str]:
    """Environment that makes the server see the GPU that `device` means."""
    if device == "cpu":
        return {}
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return order if device.startswith("cuda") else {**order, "CUDA_VISIBLE_DEVICES": device}


def _parameters(model: PreparedModel, spec: TritonSettings, cache: Path | None) -> dict[str, str]:
    """What model.py reads; all strings, as Triton has them."""
    found = {"serve": str(spec.serve), "precision": spec.precision}
    if spec.serve == "onnxruntime":
        found["onnx"] = str(model.file(*spec.formats).resolve())
    if scalars := [tensor.name for tensor in model.inputs if not tensor.shape]:
        found["scalars"] = json.dumps(scalars)
    if spec.threads is not None:
        found["threads"] = str(spec.threads)
    if spec.serve == "tensorrt":
        if cache is None:
            raise ModelRefusedError("TensorRT needs a cache folder for its engines")
        found["cache"] = str(cache.resolve())
        settings = spec.model_dump(include=set(ENGINE_KEYS), exclude_defaults=True)
        found |= {k: v if isinstance(v, str) else json.dumps(v) for k, v in settings.items()}
    return found
