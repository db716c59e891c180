import platform
import subprocess
import sys

import numpy as np
import pytest

from harness.backends.base import Backend, Caller, LoadCost, run_once
from harness.errors import (
    BackendError,
    DeviceError,
    MissingPackageError,
    OutOfMemoryError,
    SetupError,
    translate,
)
from harness.models.tensors import Signature, TensorSpec
from harness.system.packages import require


def test_a_missing_package_comes_with_the_command_that_installs_it():
    with pytest.raises(MissingPackageError) as caught:
        require("no_such_runtime", "onnxruntime")
    assert caught.value.message == "no_such_runtime is not installed"
    assert caught.value.fix == "pip install 'inference-harness[onnxruntime]'"


def test_a_package_whose_own_import_fails_is_told_apart(tmp_path, monkeypatch):
    (tmp_path / "half_there.py").write_text("import something_it_needs\n")
    (tmp_path / "no_library.py").write_text("raise ImportError('libcudart.so.13 not found')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name, reason in (("half_there", "something_it_needs"), ("no_library", "libcudart")):
        with pytest.raises(Exception, match=f"{name} can't be imported: .*{reason}") as caught:
            require(name, "x")
        assert not isinstance(caught.value, MissingPackageError)


def test_a_package_that_lacks_its_own_extra_comes_with_the_command_too(tmp_path, monkeypatch):
    (tmp_path / "like_tritonclient.py").write_text(
        "try:\n    import a_protocol_of_it\n"
        "except ModuleNotFoundError as error:\n    raise RuntimeError('not included') from error\n"
    )
    (tmp_path / "confused.py").write_text("raise RuntimeError('no such platform')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingPackageError, match="a_protocol_of_it") as caught:
        require("like_tritonclient", "triton")
    assert caught.value.fix == "pip install 'inference-harness[triton]'"
    with pytest.raises(SetupError, match="confused can't be imported: no such platform") as other:
        require("confused", "triton")
    assert not isinstance(other.value, MissingPackageError)


@pytest.mark.parametrize("module", ["torch", "onnxruntime"])
def test_a_backend_without_its_package_says_so_when_it_is_opened(module):
    code = (
        f"import sys; sys.modules[{module!r}] = None\n"
        "from harness.errors import MissingPackageError\n"
        f"try:\n    import harness.backends.{module}.backend\n"
        "except MissingPackageError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"{module} is not installed" in done.stdout
    assert f"pip install 'inference-harness[{module}]'" in done.stdout


@pytest.mark.parametrize("error", [
    MemoryError(),
    RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("Failed to allocate memory for requested buffer of size 12345"),
    RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("std::bad_alloc"),
    RuntimeError(
        "[ONNXRuntimeError] : 1 : FAIL : Exception during initialization: bfc_arena.cc:360 void* "
        "onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*) Available "
        "memory of 0 is smaller than requested bytes of 8388608"
    ),
])  # fmt: skip
def test_running_out_of_memory_is_recognised_in_every_runtimes_words(error):
    assert isinstance(translate(error), OutOfMemoryError)


def test_other_exceptions_keep_type_and_message():
    found = translate(ValueError("wrong shape"), "loading")
    assert type(found) is BackendError
    assert found.message == "loading: ValueError: wrong shape"
    known = DeviceError("no GPU")
    assert translate(known) is known


CODE = """
import psutil
from harness.backends.base import collect
own = psutil.Process()
blocks = [bytes([1]) * 100_000 for _ in range(1000)]  # too small for a mapping of their own
last = bytes([1]) * 100_000  # above them all, so that the heap can't shrink by itself
full = own.memory_info().rss
del blocks
freed = own.memory_info().rss
collect()
print(full, freed, own.memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_malloc_keeps_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    full, freed, collected = map(int, done.stdout.split())
    assert full - freed < 50e6
    assert full - collected > 80e6


class Smallest(Backend):
    signature = Signature((), (TensorSpec("y", "float32", ("batch",)),))

    def load(self):
        return LoadCost(0.0)

    def prepare(self, inputs):
        return inputs["x"]

    def caller(self):
        return Doubling()


class Doubling(Caller):
    def infer(self, request):
        return request * 2

    def outputs(self, reply):
        return {"y": reply}


def test_what_a_backend_does_not_have_it_need_not_write():
    with Smallest() as backend:
        assert run_once(backend, {"x": np.float32([1, 2])})["y"].tolist() == [2.0, 4.0]
        backend.release()
        assert (backend.statistics(), backend.memory()) == ({}, {})
