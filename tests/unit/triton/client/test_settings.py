import pytest
from pydantic import ValidationError

from harness.backends.registry import parse_spec
from harness.triton.client.settings import TritonSettings, judge


def triton(**settings):
    return TritonSettings.model_validate({"kind": "triton", "protocol": "grpc", **settings})


def test_triton_needs_client_and_server():
    without = {c.name: c for c in judge("ModuleNotFoundError: No module named 'tritonclient'")}
    assert without["triton client"].status == "missing"
    assert not without["triton server"].runs


def test_its_name_holds_what_differs_from_the_default():
    assert triton().default_name == "triton-grpc"
    spec = triton(serve="tensorrt", device="cuda", precision="fp16", cuda_graphs=True,
                  client="tritonclient", io="shared_memory",
                  colocated={"name": "other", "load": {"concurrency": 1}})  # fmt: skip
    assert spec.default_name == ("triton-grpc-tensorrt-fp16-graphs-tritonclient-shm-with-other")


def test_what_is_served_says_what_is_needed_of_the_model():
    assert triton().formats == frozenset()
    assert triton(serve="onnxruntime", precision="fp16").formats == {"onnx_fp16"}
    assert triton(serve="tensorrt", device="cuda", precision="fp16").formats == {
        "onnx", "onnx_fp16",
    }  # fmt: skip


def test_a_wrong_way_for_tensors_to_travel():
    with pytest.raises(ValidationError, match="cuda_shared_memory"):
        triton(io="device")


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
