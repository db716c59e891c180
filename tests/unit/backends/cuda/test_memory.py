"""Which library is taken, and what CUDA's errors become; memory itself is tested on a GPU."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

from harness.backends.cuda import memory as cuda_memory
from harness.backends.cuda.memory import CudaDevice, open_cuda
from harness.errors import (
    BackendError,
    DeviceError,
    HarnessError,
    MissingPackageError,
    OutOfMemoryError,
    translate,
)
from harness.system.packages import install_command


def library(monkeypatch: pytest.MonkeyPatch, name: str, opened: object) -> None:
    module = ModuleType(f"fake_{name}")
    module.Open = opened  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(cuda_memory.LIBRARIES, name, f"{module.__name__}:Open")


def test_pycuda_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    library(monkeypatch, "pycuda", lambda ordinal: f"pycuda on {ordinal}")
    library(monkeypatch, "cuda-python", lambda ordinal: f"cuda-python on {ordinal}")
    assert open_cuda(1) == "pycuda on 1"
    assert open_cuda(1, "cuda-python") == "cuda-python on 1"


def test_cuda_python_stands_in_when_pycuda_can_not_be_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(cuda_memory.LIBRARIES, "pycuda", "harness.no_such_module:PyCuda")
    library(monkeypatch, "cuda-python", lambda ordinal: SimpleNamespace(name="cuda-python 13"))
    assert open_cuda().name == "cuda-python 13"


def test_without_any_library_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in cuda_memory.LIBRARIES:
        monkeypatch.setitem(cuda_memory.LIBRARIES, name, "harness.no_such_module:It")
    with pytest.raises(MissingPackageError) as caught:
        open_cuda()
    assert f"fix: {install_command('pycuda')} (needs" in str(caught.value)
    assert str(caught.value).endswith(install_command("cuda"))
    assert "pycuda: No module named" in caught.value.message


def test_a_library_without_a_gpu_is_a_device_error_and_not_a_reason_to_try_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_gpu(ordinal: int) -> None:
        raise RuntimeError("cuInit failed: no CUDA-capable device is detected")

    library(monkeypatch, "pycuda", no_gpu)
    with pytest.raises(DeviceError, match=r"opening GPU 0: .*no CUDA-capable device"):
        open_cuda()


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("cudaErrorMemoryAllocation: out of memory", OutOfMemoryError),
        ("cuMemAlloc failed: out of memory", OutOfMemoryError),
        ("cudaErrorInsufficientDriver: CUDA driver version is insufficient", DeviceError),
        ("cudaErrorNoDevice: no CUDA-capable device is detected", DeviceError),
        ("cudaErrorInvalidDevice: invalid device ordinal", DeviceError),
        ("cudaErrorIllegalAddress: an illegal memory access was encountered", BackendError),
    ],
)
def test_errors_by_their_words(text: str, kind: type[HarnessError]) -> None:
    error = translate(text, "doing it")
    assert type(error) is kind
    assert error.message == f"doing it: {text}"


def test_the_harness_own_errors_stay_as_they_are() -> None:
    error = DeviceError("as it is")
    assert translate(error, "doing") is error


def test_an_engine_fits_every_gpu_with_the_same_key() -> None:
    one, two = (CudaDevice(i, "NVIDIA H200", "9.0", uuid=f"GPU-{i}") for i in range(2))
    assert one.key == two.key == "NVIDIA H200 9.0"


# ------------------------------------------------------------------ cuda-python, as far as it goes
