import pytest
from pydantic import ValidationError

from harness.backends.registry import parse_spec
from harness.backends.torch.settings import PROBE, TorchSettings, judge
from harness.scenario.spec.model import ModelSpec
from harness.system.check import probe

TORCH_CUDA = {"version": "2.9.0", "cuda": "13.0", "why_not": None}
TORCH_CPU = {"version": "2.9.0+cpu", "cuda": None, "why_not": "not compiled with CUDA enabled"}


@pytest.mark.parametrize("gpu", [True, False])
def test_torch_for_the_cpu_is_a_fault_only_where_there_is_a_gpu(gpu):
    cpu, cuda = judge(TORCH_CPU, gpu)
    assert cpu.runs
    assert (cuda.status, cuda.runs) == ("missing" if gpu else "note", False)
    assert (cuda.fix is not None) == gpu


def test_torch_with_a_driver_that_is_too_old():
    _, cuda = judge({**TORCH_CUDA, "why_not": "driver too old"}, True)
    assert (cuda.status, "update the NVIDIA driver" in cuda.fix) == ("missing", True)
    assert "driver too old" in cuda.detail


STUB = """
from types import SimpleNamespace
__version__, version = "2.9.0", SimpleNamespace(cuda="13.0")
cuda = SimpleNamespace(init=lambda: None)
class ones:
    def __init__(self, *shape, device):
        self.device = device
    def __matmul__(self, other):
        if self.device == FAULT:
            raise RuntimeError("no kernel image is available")
        return self
    def sum(self):
        return self
    def item(self):
        return 512.0
"""


@pytest.mark.parametrize(
    ("fault", "names"),
    [("cpu", []), ("cuda", ["torch (cpu)"]), ("", ["torch (cpu)", "torch (cuda)"])],
)
def test_torch_counts_when_it_multiplies(tmp_path, monkeypatch, fault, names):
    (tmp_path / "torch.py").write_text(f"FAULT = {fault!r}\n{STUB}")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    checks = judge(probe(PROBE), True)
    assert [check.name for check in checks if check.runs] == names
    assert all("no kernel image" in check.detail for check in checks if not check.runs)


def test_torch_on_a_gpu():
    assert [c.runs for c in judge(TORCH_CUDA, True)] == [True, True]


def test_a_package_that_is_broken_says_how():
    (check,) = judge("ImportError: libcudart.so.13", True)
    assert (check.status, check.detail) == ("missing", "ImportError: libcudart.so.13")


def test_it_is_named_by_device_and_precision_and_needs_the_module_itself():
    spec = TorchSettings(kind="torch", device="cuda:1", precision="bf16", compile=True)
    assert (spec.default_name, spec.on_gpu) == ("torch-cuda1-bf16-compiled", True)
    assert spec.formats == {"torch"}
    layout = TorchSettings(kind="torch", channels_last=True)
    assert layout.default_name == "torch-cpu-fp32-channels-last"
    assert not TorchSettings(kind="torch").on_gpu


def test_tf32_is_a_mode_of_a_gpu():
    with pytest.raises(ValidationError, match=r"tf32 exists on a GPU only; .* `device: cuda`"):
        TorchSettings(kind="torch", precision="tf32")
    assert TorchSettings(kind="torch", precision="tf32", device="cuda").mode == "tf32"


def test_streams_are_a_gpus_and_named_where_they_are_not_as_usual():
    with pytest.raises(ValidationError, match="callers: goes with a GPU"):
        TorchSettings(kind="torch", callers="streams")
    with pytest.raises(ValidationError, match="gpu_memory_limit: goes with a GPU"):
        TorchSettings(kind="torch", gpu_memory_limit="1GiB")
    spec = TorchSettings(kind="torch", device="cuda", callers="streams")
    assert (spec.default_name, spec.less_launching) == ("torch-cuda-fp32-streams", "compile: true")
    assert TorchSettings(kind="torch", device="cuda", compile=True).less_launching == ""


def test_an_onnx_file_is_no_source_for_it():
    model = ModelSpec.model_validate({"name": "m", "source": {"onnx": "m.onnx"}})
    (broken,) = TorchSettings(kind="torch").fits(model, 1)
    assert broken.message == (
        "a torch backend can't run a model from `onnx`; it needs `torch` or `exported_program`"
    )


def made(**settings):
    return parse_spec({"kind": "torch", **settings})


@pytest.mark.parametrize(("settings", "name", "gpu"), [
    ({}, "torch-cpu-fp32", False),
    ({"device": "cuda:1", "precision": "bf16", "compile": True}, "torch-cuda1-bf16-compiled", True),
])  # fmt: skip
def test_the_name_has_all_that_differs(settings, name, gpu):
    spec = made(**settings)
    assert (spec.default_name, spec.on_gpu, spec.formats) == (name, gpu, {"torch"})


def test_an_exported_program_is_a_source_and_an_onnx_file_is_none():
    assert "exported_program" in made().sources
    assert "onnx" not in made().sources
