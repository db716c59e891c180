"""What settings say of themselves: names, formats of the model, where it runs."""

import pytest

from harness.backends.registry import parse_spec


def made(**settings):
    return parse_spec({"kind": "triton", **settings})


@pytest.mark.parametrize(("settings", "name"), [
    ({"protocol": "http", "serve": "onnxruntime"}, "triton-http-onnxruntime"),
    ({"protocol": "grpc", "serve": "torch", "precision": "fp16", "client": "tritonclient",
      "io": "shared_memory"}, "triton-grpc-torch-fp16-tritonclient-shm"),
])  # fmt: skip
def test_the_name_has_all_that_differs(settings, name):
    assert made(**settings).default_name == name


@pytest.mark.parametrize(("serve", "precision", "formats"), [
    ("onnxruntime", "fp32", {"onnx"}), ("onnxruntime", "fp16", {"onnx_fp16"}),
    ("torch", "fp16", {"torch"}), ("tensorrt", "bf16", {"onnx", "onnx_bf16"}),
])  # fmt: skip
def test_formats_are_those_of_what_is_served(serve, precision, formats):
    device = "cuda" if serve == "tensorrt" else "cpu"
    spec = made(protocol="http", serve=serve, precision=precision, device=device)
    assert spec.formats == formats


def test_the_server_runs_the_model_and_its_load_is_from_outside():
    assert made(protocol="http").remote
    assert made(protocol="http").formats == frozenset()
