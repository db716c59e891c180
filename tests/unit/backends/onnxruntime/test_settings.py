import pytest
from pydantic import ValidationError

from harness.backends.onnxruntime.settings import PROBE, OnnxRuntimeSettings, judge
from harness.backends.registry import parse_spec
from harness.system.check import probe

CUDA = "CUDAExecutionProvider"


def test_onnxruntime_without_the_cuda_provider_says_what_to_install():
    why = "without the CUDA provider"
    answer = {"version": "1.20", "providers": ["CPUExecutionProvider"], "why_not": why}
    _, cuda = judge(answer, True)
    assert why in cuda.detail
    assert "onnxruntime-gpu" in cuda.fix
    answer["providers"].insert(0, "CUDAExecutionProvider")
    assert all(c.runs for c in judge(answer, True))


STUB = """
__version__ = "1.20"
def get_available_providers():
    return ["CUDAExecutionProvider", "CPUExecutionProvider"]
class InferenceSession:
    def __init__(self, model, providers):
        self.providers = list(providers)
    def run(self, names, inputs):
        if FAULT == "raises" and len(self.providers) == 2:
            raise RuntimeError("no kernel image\\nmore")
    def get_providers(self):
        return self.providers[-1:] if FAULT == "falls back" else self.providers
"""


@pytest.mark.parametrize(
    ("fault", "said"),
    [("falls back", "does not start"), ("raises", "no kernel image"), ("", "")],
)  # fmt: skip
def test_a_cuda_provider_counts_when_a_session_runs_on_it(tmp_path, monkeypatch, fault, said):
    (tmp_path / "onnxruntime.py").write_text(f"FAULT = {fault!r}\n{STUB}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    cpu, cuda = judge(probe(PROBE), True)
    assert cpu.runs
    assert cuda.runs == (not fault)
    assert said in cuda.detail


def test_the_probe_runs_here():
    pytest.importorskip("onnxruntime")
    cpu, _ = judge(probe(PROBE), False)
    assert cpu.runs


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
