"""cuda-python's answers; what they do is tested on a GPU."""

from __future__ import annotations

import pytest

from harness.backends.cuda.memory import open_cuda
from harness.errors import (
    DeviceError,
    OutOfMemoryError,
)


def test_cuda_python_answers_are_checked() -> None:
    bindings = pytest.importorskip("harness.backends.cuda.cuda_python")
    from cuda.bindings import runtime

    errors = runtime.cudaError_t
    assert bindings.check((errors.cudaSuccess, 7), "x") == 7
    assert bindings.check((errors.cudaSuccess,), "x") is None
    with pytest.raises(OutOfMemoryError, match="allocating: cudaErrorMemoryAllocation"):
        bindings.check((errors.cudaErrorMemoryAllocation, None), "allocating")


def test_without_a_driver_cuda_python_says_so() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    try:
        opened = open_cuda(0, "cuda-python")
    except DeviceError as error:
        assert "nvidia-smi" in (error.fix or "")
    else:
        assert opened.gpu.total_bytes > 0


def test_a_capture_that_fails_leaves_the_stream_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    module = pytest.importorskip("harness.backends.cuda.cuda_python")
    calls: list[str] = []
    fine = module.runtime.cudaError_t.cudaSuccess

    class Runtime:
        cudaError_t = module.runtime.cudaError_t

        def __getattr__(self, name: str):
            def call(*arguments: object) -> tuple[object, str]:
                calls.append(name.removeprefix("cuda"))
                return fine, name

            return call

    def broken() -> None:
        raise ValueError("mine")

    monkeypatch.setattr(module, "runtime", Runtime())
    with pytest.raises(ValueError, match="mine"):
        module.CudaBindings.capture(7, broken)
    assert calls == ["StreamBeginCapture", "StreamEndCapture"]
    calls.clear()
    assert module.CudaBindings.capture(7, lambda: None) == "cudaGraphInstantiate"
    assert calls == ["StreamBeginCapture", "StreamEndCapture", "GraphInstantiate", "GraphDestroy"]
