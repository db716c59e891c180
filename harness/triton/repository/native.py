"""Native configurations, for servers that carry Triton's own ONNX Runtime and TensorRT backends.

The full server images have them, the embedded server does not. Made from the same description as
the Python backend's: names, types, batching and instances are those of `repository.make_config`.

    REPOSITORY/NAME/config.pbtxt      platform: onnxruntime_onnx or tensorrt_plan
    REPOSITORY/NAME/1/model.onnx      or model.plan, with the weights beside it if they are apart
"""

from __future__ import annotations

from pathlib import Path

from harness.models.cache import parts
from harness.models.tensors import PreparedModel
from harness.system.files import copy_regular, write_text
from harness.triton.client.settings import TritonSettings
from harness.triton.metadata import ConfigMessage, proto
from harness.triton.repository.change import merged

PLATFORMS = {"onnxruntime": "onnxruntime_onnx", "tensorrt": "tensorrt_plan"}
"""What serves it → Triton's name for the platform."""
FILES = {"onnxruntime_onnx": "model.onnx", "tensorrt_plan": "model.plan"}


def make_native_config(
    model: PreparedModel, spec: TritonSettings, max_batch_size: int, name: str | None = None
) -> ConfigMessage:
    """The `ModelConfig` message for a server that has the backend itself.

    Raises ModelRefusedError for what Triton can't serve; PyTorch has no such platform without
    TorchScript, and a scenario can't ask for one.
    """
    from harness.triton.repository.write import describe_model

    platform = PLATFORMS[str(spec.serve)]
    config = proto().ModelConfig(name=name or model.name, platform=platform)
    describe_model(config, model, spec, max_batch_size)
    if platform == "onnxruntime_onnx" and spec.threads is not None:
        config.parameters["intra_op_thread_count"].string_value = str(spec.threads)
    if spec.cuda_graphs:
        config.optimization.cuda.graphs = True
    return merged(config, spec.config_fields)


def write_native(
    repository: Path, model: PreparedModel, spec: TritonSettings, max_batch_size: int, *,
    name: str | None = None, file: Path | None = None,
) -> str:  # fmt: skip
    """Write the model's directory, with `file` as its first version; the name it is served under.

    Raises ModelRefusedError.
    """
    config = make_native_config(model, spec, max_batch_size, name)
    directory = repository / config.name
    (directory / "1").mkdir(parents=True, exist_ok=True)
    if file is not None:
        place(file, directory / "1" / FILES[config.platform])
    write_text(directory / "config.pbtxt", proto().text(config))
    return str(config.name)


def place(source: Path, target: Path) -> int:
    """Copy a model file and the weights that lie beside it; the bytes that were copied."""
    size = 0
    for part in parts(source) if source.suffix == ".onnx" else [source]:
        # the ONNX file refers to its weights by their names
        copy = target if part == source else target.parent / part.relative_to(source.parent)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy_regular(part, copy)
        size += copy.stat().st_size
    return size
