import sys

import pytest

from harness.backends.onnxruntime.settings import judge as onnxruntime_checks
from harness.backends.tensorrt.settings import PROBE
from harness.backends.tensorrt.settings import judge as tensorrt_check
from harness.backends.torch.settings import judge as torch_checks
from harness.system.check import probe
from harness.triton.client.settings import judge as triton_checks

TORCH_CUDA = {"version": "2.9.0", "cuda": "13.0", "why_not": None}
TORCH_CPU = {"version": "2.9.0+cpu", "cuda": None, "why_not": "not compiled with CUDA enabled"}


def by_name(checks):
    return {check.name: check for check in checks}


@pytest.mark.parametrize("gpu", [True, False])
def test_torch_for_the_cpu_is_a_fault_only_where_there_is_a_gpu(gpu):
    cpu, cuda = torch_checks(TORCH_CPU, gpu)
    assert cpu.runs
    assert (cuda.status, cuda.runs) == ("missing" if gpu else "note", False)
    assert (cuda.fix is not None) == gpu


def test_torch_with_a_driver_that_is_too_old():
    _, cuda = torch_checks({**TORCH_CUDA, "why_not": "driver too old"}, True)
    assert (cuda.status, "update the NVIDIA driver" in cuda.fix) == ("missing", True)
    assert "driver too old" in cuda.detail


def test_torch_on_a_gpu():
    assert [c.runs for c in torch_checks(TORCH_CUDA, True)] == [True, True]


def test_onnxruntime_without_the_cuda_provider_says_what_to_install():
    answer = {"version": "1.20", "providers": ["CPUExecutionProvider"]}
    _, cuda = onnxruntime_checks(answer, True)
    assert "onnxruntime-gpu" in cuda.fix
    answer["providers"].insert(0, "CUDAExecutionProvider")
    assert all(c.runs for c in onnxruntime_checks(answer, True))


def test_a_missing_package_and_a_broken_one():
    missing = tensorrt_check("ModuleNotFoundError: No module named 'tensorrt_rtx'", True)
    assert missing.detail == "not installed (No module named 'tensorrt_rtx')"
    assert missing.fix == f"{sys.executable} -m pip install 'tensorrt-rtx-cu13>=1.4'"
    broken = torch_checks("ImportError: libcudart.so.13", True)
    assert [(c.status, c.detail) for c in broken] == [("missing", "ImportError: libcudart.so.13")]


def test_triton_needs_client_and_server():
    without = by_name(triton_checks("ModuleNotFoundError: No module named 'tritonclient'"))
    assert without["triton client"].status == "missing"
    assert not without["triton server"].runs


def test_tensorrt_without_a_gpu_builds_only():
    answer = {"name": "tensorrt_rtx", "version": "1.7", "memory": "pycuda", "why_not": ""}
    assert not tensorrt_check(answer, False).runs
    assert tensorrt_check(answer, True).runs


@pytest.mark.parametrize("library", ["pycuda/driver", "cuda/bindings/runtime"])
def test_tensorrt_needs_one_library_for_device_memory(tmp_path, monkeypatch, library):
    (tmp_path / "tensorrt.py").write_text("__version__ = '10.9'\n")
    for name in ("pycuda/driver", "cuda/bindings/runtime"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True)
        path.write_text("raise ImportError('built for another CUDA')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    for package in ("pycuda", "cuda", "cuda/bindings"):
        (tmp_path / package / "__init__.py").touch()
    without = tensorrt_check(probe(PROBE), True)
    assert (without.status, without.runs) == ("missing", False)
    assert "needs pycuda or cuda-python, one of both" in without.detail
    assert "built for another CUDA" in without.detail
    assert without.fix == f"{sys.executable} -m pip install cuda-python"
    (tmp_path / f"{library}.py").write_text("")
    assert tensorrt_check(probe(PROBE), True).runs
