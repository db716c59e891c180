"""Rules and names of the backends that run on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from harness.scenario.spec.backend import AnyBackend

ADAPTER: TypeAdapter[Any] = TypeAdapter(AnyBackend)
CUDA = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}


def parse(**settings: object) -> Any:
    return ADAPTER.validate_python(settings)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"kind": "tensorrt"}, "tensorrt-fp32"),
        ({"kind": "tensorrt", "precision": "fp16", "cuda_graphs": True}, "tensorrt-fp16-graphs"),
        ({"kind": "tensorrt", "flavor": "tensorrt-rtx"}, "tensorrt-rtx-fp32"),
        ({"kind": "torch", "device": "cuda:1", "compile": True}, "torch-cuda1-fp32-compiled"),
        ({"kind": "triton", "protocol": "grpc", "serve": "torch", "io": "shared_memory"},
         "triton-grpc-torch-shm"),
        ({"kind": "triton", "protocol": "http", "serve": "torch", "io": "cuda_shared_memory"},
         "triton-http-torch-cudashm"),
        ({**CUDA, "cuda_graphs": True, "io": "device"}, "onnxruntime-cuda-fp32-graphs"),
        ({"kind": "onnxruntime", "provider": "TensorrtExecutionProvider"},
         "onnxruntime-tensorrt-fp32"),
    ],
)  # fmt: skip
def test_names_tell_configurations_apart(settings: dict[str, Any], name: str) -> None:
    assert parse(**settings).default_name == name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "tensorrt", "device": "cpu"}, "TensorRT runs on a GPU"),
        ({"kind": "tensorrt", "profile": {"each": True, "max": 4}}, "not both"),
        ({"kind": "tensorrt", "profile": {"min": 8, "max": 4}}, "min ≤ opt ≤ max"),
        ({"kind": "tensorrt", "profile": {"dynamic": {"seq": [8, 4, 2]}}}, "smallest first"),
        ({"kind": "onnxruntime", "gpu_memory_limit": "1GiB"}, "runs on the CPU"),
        ({**CUDA, "cuda_graphs": True}, "add `io: device`"),
        ({"kind": "onnxruntime", "provider": "TensorrtExecutionProvider", "device": "cpu"},
         "TensorRT provider runs on a GPU"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        parse(**settings)
