"""Rules of what Triton serves: engines, and settings that may hold lists."""

from __future__ import annotations

from collections.abc import Iterator

from harness.scenario.rules.base import WORD, Broken, Data, as_list, as_map, twice, under
from harness.scenario.wording import nearest

OWN_CONFIG = {
    "serve": None, "precision": "fp32", "device": "cpu", "threads": None, "flavor": "auto",
    "workspace": None, "optimization_level": None, "cuda_graphs": False,
}  # fmt: skip
"""Settings of a model that the harness puts on the server, with their defaults."""
MODEL_CONFIG_FIELDS = (
    "platform", "backend", "runtime", "version_policy", "max_batch_size", "input", "output",
    "batch_input", "batch_output", "optimization", "dynamic_batching", "sequence_batching",
    "ensemble_scheduling", "instance_group", "default_model_filename", "cc_model_filenames",
    "metric_tags", "parameters", "model_warmup", "model_operations", "model_transaction_policy",
    "model_repository_agents", "response_cache", "model_metrics",
)  # fmt: skip
"""Fields of Triton's ModelConfig message, but for the name, which the harness gives."""
_OWN_KEYS = {"instance_group": "instances", "max_batch_size": "max_batch_size",
             "dynamic_batching": "dynamic_batching"}  # fmt: skip
"""Fields of ModelConfig that have a key of the backend's own."""
_ENGINE_ONLY = ("flavor", "workspace", "optimization_level", "cuda_graphs")
"""Of those, the ones that only `serve: tensorrt` has."""


def on_cuda(data: Data) -> bool:
    """Whether the backend runs on a GPU."""
    if data.get("kind") == "onnxruntime":
        return data.get("provider") in GPU_PROVIDERS
    if data.get("kind") == "tensorrt":
        return True
    return str(data.get("device") or "cpu") != "cpu"


GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")


def tf32_on_cuda(data: Data) -> Iterator[Broken]:
    """TF32 is a mode of a GPU's arithmetic."""
    if data.get("precision") == "tf32" and not on_cuda(data):
        onnxruntime = data.get("kind") == "onnxruntime"
        where = "provider: CUDAExecutionProvider" if onnxruntime else "device: cuda"
        yield Broken(("precision",), f"tf32 exists on a GPU only; use fp32, or `{where}`")


def engine_on_server(data: Data) -> Iterator[Broken]:
    """Rules of what each `serve` can do, and of the settings that only `serve: tensorrt` has."""
    if data.get("serve") == "tensorrt":
        if not on_cuda(data):
            message = "TensorRT runs on a GPU; write `device: cuda`"
            yield Broken(("device" if data.get("device") else "serve",), message)
        return
    if data.get("serve") == "onnxruntime" and data.get("precision") == "bf16":
        message = "ONNX Runtime has no bf16 here; use fp32 or fp16, or `serve: torch`"
        yield Broken(("precision",), message)
    for key in _ENGINE_ONLY:
        if data.get(key, OWN_CONFIG[key]) not in (OWN_CONFIG[key], None):
            message = f"goes with `serve: tensorrt`, not with {data['serve']}; remove it"
            yield Broken((key,), message, on_key=True)


def varied(data: Data) -> Iterator[Broken]:
    """Rules of what makes the configs of a Triton backend."""
    for key in ("instances", "max_batch_size", "dynamic_batching", "config"):
        if isinstance(data.get(key), list | tuple):
            for index, value in twice(data[key]):
                shown = value if isinstance(value, int) else "the same"
                shown = str(shown).lower() if isinstance(shown, bool) else shown
                yield Broken((key, index), f"{shown} is there twice")
    for name, value in as_map(data.get("env")).items():
        if not WORD.fullmatch(str(name)):
            message = "an environment variable's name is made of letters, digits and _"
            yield Broken(("env", name), message, on_key=True)
        if isinstance(value, list | tuple):
            for index, item in twice(value):
                yield Broken(("env", name, index), f"{item} is there twice")
    written = data.get("config")
    many = isinstance(written, list | tuple)
    for index, fields in enumerate(as_list(written)):
        yield from under(("config", index) if many else ("config",), _fields(as_map(fields), data))


def _fields(fields: Data, item: Data) -> Iterator[Broken]:
    """Rules of `config`: fields that Triton has, each said in one place only."""
    for key in fields:
        if key == "name":
            yield Broken((key,), "the harness names the model; remove it", on_key=True)
        elif key not in MODEL_CONFIG_FIELDS:
            near = nearest(str(key), MODEL_CONFIG_FIELDS)
            hint = f"; did you mean '{near}'?" if near else ""
            yield Broken((key,), f"config.pbtxt has no such field{hint}", on_key=True)
        elif (own := _OWN_KEYS.get(key)) and item.get(own) is not None:
            yield Broken((key,), f"is set by `{own}` already; keep one of the two", on_key=True)
