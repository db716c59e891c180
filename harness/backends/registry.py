"""Backend kind → `module:Class`, imported when used. One explicit dict, no discovery."""

from __future__ import annotations

import importlib

from pydantic import TypeAdapter

from harness.backends.base import Backend, BackendContext
from harness.scenario.spec.scenario import AnyBackend

BACKENDS: dict[str, str] = {
    "torch": "harness.backends.torch.backend:TorchBackend",
    "onnxruntime": "harness.backends.onnxruntime.backend:OnnxRuntimeBackend",
    "tensorrt": "harness.backends.tensorrt.backend:TensorRtBackend",
    "triton/http": "harness.triton.client.backend:TritonBackend",
    "triton/grpc": "harness.triton.client.backend:TritonBackend",
    "fake": "harness.backends.fake:FakeBackend",
}
"""Each class is called as `Class(spec, context)` with its own spec from `scenario.schema`."""

_ADAPTER: TypeAdapter[AnyBackend] = TypeAdapter(AnyBackend)


def parse_spec(data: object) -> AnyBackend:
    """The backend's settings from the JSON that the orchestrator sends to a worker."""
    return _ADAPTER.validate_json(data) if isinstance(data, str) else _ADAPTER.validate_python(data)


def open_backend(spec: AnyBackend, context: BackendContext) -> Backend:
    """Import the class for `spec` and make it (not loaded yet)."""
    key = f"triton/{spec.protocol}" if spec.kind == "triton" else spec.kind
    module, _, name = BACKENDS[key].partition(":")
    cls = getattr(importlib.import_module(module), name)
    backend: Backend = cls(spec, context)
    return backend
