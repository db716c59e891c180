"""What is done around pycuda, on a stand-in for its driver; memory is tested on a GPU."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from harness.errors import OutOfMemoryError, SetupError


class Allocation(int):
    freed: ClassVar[list[int]] = []

    def free(self) -> None:
        Allocation.freed.append(int(self))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch):
    """The device through the stand-in, and what was done to its context."""
    done: list[str] = []
    device = SimpleNamespace(
        name=lambda: "Test GPU", compute_capability=lambda: (9, 0), total_memory=lambda: 2**30,
        uuid=lambda: "GPU-1",
    )  # fmt: skip
    pycuda, driver, context = (ModuleType(f"pycuda{n}") for n in ("", ".driver", ".autoprimaryctx"))
    pycuda.VERSION, pycuda.driver = (2025, 1), driver  # type: ignore[attr-defined]
    driver.Error = RuntimeError  # type: ignore[attr-defined]

    def allocate(size: int) -> Allocation:
        if size > 100:
            raise RuntimeError("cuMemAlloc failed: out of memory")
        return Allocation(4096)

    driver.mem_alloc = allocate  # type: ignore[attr-defined]
    context.device = device  # type: ignore[attr-defined]
    context.context = SimpleNamespace(  # type: ignore[attr-defined]
        push=lambda: done.append("push"), pop=lambda: done.append("pop")
    )
    pycuda.autoprimaryctx = context  # type: ignore[attr-defined]
    for module in (pycuda, driver, context):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("CUDA_DEVICE", "")
    monkeypatch.delitem(sys.modules, "harness.backends.cuda.pycuda", raising=False)
    module = importlib.import_module("harness.backends.cuda.pycuda")
    yield module.PyCuda(0), done
    del sys.modules["harness.backends.cuda.pycuda"]


def test_the_gpu_is_described(opened) -> None:
    cuda, _ = opened
    assert cuda.name == "pycuda 2025.1"
    assert (cuda.gpu.key, cuda.gpu.uuid) == ("Test GPU 9.0", "GPU-1")


def test_a_thread_detaches_also_after_a_failure(opened) -> None:
    cuda, done = opened
    with pytest.raises(ValueError, match="mine"), cuda.attach():
        raise ValueError("mine")
    assert done == ["push", "pop"]


def test_memory_is_freed_once_and_too_much_is_said(opened) -> None:
    cuda, _ = opened
    Allocation.freed.clear()
    address = cuda.allocate(10)
    cuda.free(address)
    assert Allocation.freed == [address] == [4096]
    with pytest.raises(KeyError):
        cuda.free(address)
    with pytest.raises(OutOfMemoryError, match="allocating 101 bytes on the GPU"):
        cuda.allocate(101)


def test_graphs_need_cuda_python(opened, monkeypatch: pytest.MonkeyPatch) -> None:
    cuda, _ = opened
    monkeypatch.setitem(sys.modules, "harness.backends.cuda.cuda_python", None)
    with pytest.raises(SetupError, match="CUDA graphs need cuda-python"):
        cuda.launch(object(), SimpleNamespace(handle=1))
