import pytest
from pydantic import ValidationError

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings, judge
from harness.backends.registry import parse_spec

CUDA = "CUDAExecutionProvider"


def test_onnxruntime_without_the_cuda_provider_says_what_to_install():
    answer = {"version": "1.20", "providers": ["CPUExecutionProvider"]}
    _, cuda = judge(answer, True)
    assert "onnxruntime-gpu" in cuda.fix
    answer["providers"].insert(0, "CUDAExecutionProvider")
    assert all(c.runs for c in judge(answer, True))


def test_the_provider_says_whether_it_runs_on_a_gpu():
    assert not OnnxRuntimeSettings(kind="onnxruntime", device="cpu").on_gpu
    assert OnnxRuntimeSettings(kind="onnxruntime", provider=CUDA).on_gpu


def test_only_fp16_needs_a_converted_file():
    formats = [
        OnnxRuntimeSettings(kind="onnxruntime", provider=CUDA, precision=precision).formats
        for precision in ("fp32", "tf32", "fp16")
    ]
    assert formats == [{"onnx"}, {"onnx"}, {"onnx_fp16"}]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gpu_memory_limit": "1GiB"}, "gpu_memory_limit: goes with a GPU's provider"),
        ({"device": "cuda:1"}, "device: cuda:1 needs `provider: CUDAExecutionProvider`"),
        ({"provider": CUDA, "device": "cpu"}, "device: the CUDA provider runs on a GPU"),
        ({"provider": CUDA, "cuda_graphs": True}, "cuda_graphs: .* add `io: device`"),
        ({"precision": "tf32"}, "precision: .* or `provider: CUDAExecutionProvider`"),
    ],
)
def test_what_does_not_go_together(settings, message):
    with pytest.raises(ValidationError, match=message):
        OnnxRuntimeSettings.model_validate({"kind": "onnxruntime", **settings})


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
