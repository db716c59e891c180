"""What settings say of themselves: names, formats of the model, where it runs."""

import pytest

from harness.backends.registry import parse_spec


def made(**settings):
    return parse_spec({"kind": "onnxruntime", **settings})


@pytest.mark.parametrize(("settings", "name", "format", "gpu"), [
    ({}, "onnxruntime-cpu-fp32", "onnx", False),
    ({"device": "cuda:1", "provider": "CUDAExecutionProvider", "precision": "tf32"},
     "onnxruntime-cuda-tf32", "onnx", True),
    ({"provider": "TensorrtExecutionProvider", "precision": "fp16", "io": "device",
      "cuda_graphs": True}, "onnxruntime-tensorrt-fp16-graphs", "onnx_fp16", True),
])  # fmt: skip
def test_name_format_and_place_follow_provider_and_precision(settings, name, format, gpu):
    spec = made(**settings)
    assert (spec.default_name, spec.formats, spec.on_gpu) == (name, {format}, gpu)
