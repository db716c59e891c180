"""ONNX Runtime's CUDA provider."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

pytestmark = pytest.mark.gpu
ort = pytest.importorskip("onnxruntime")
if "CUDAExecutionProvider" not in ort.get_available_providers():
    pytest.skip("onnxruntime without CUDA", allow_module_level=True)

from harness.backends.base import run_once  # noqa: E402
from harness.errors import BackendError, DeviceError, HarnessError, OutOfMemoryError  # noqa: E402
from harness.models.inputs import make_inputs  # noqa: E402

CUDA = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider"}


@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16"])
def test_every_precision_agrees(opened, agrees, precision: str) -> None:
    backend, cost = opened(**CUDA, precision=precision)
    agrees(backend)
    assert cost.details["providers"][0] == "CUDAExecutionProvider"
    assert cost.details["provider_options"]["use_tf32"] == ("1" if precision == "tf32" else "0")


def test_inputs_and_outputs_on_the_device(opened, agrees, resnet) -> None:
    backend, _ = opened(**CUDA, io="device")
    agrees(backend)
    request = backend.prepare(make_inputs(resnet[0], 1, 0))
    assert all(value.device_name() == "cuda" for value in request.values())


def test_graphs_are_replayed_for_each_request_and_shape(opened, agrees, resnet) -> None:
    backend, _ = opened(**CUDA, io="device", cuda_graphs=True)
    agrees(backend)
    plain, _ = opened(**CUDA, io="device")
    inputs = [make_inputs(resnet[0], n, v) for n in (1, 4) for v in (0, 1)]
    expected = [run_once(plain, i)["output"] for i in inputs]
    requests = [backend.prepare(i) for i in inputs]
    with backend.caller() as caller:
        for _ in range(4):
            for request, want in zip(requests, expected, strict=True):
                (got,) = caller.outputs(caller.infer(request)).values()
                assert np.abs(got - want).max() < 1e-3 * np.abs(want).max()
        with pytest.raises(BackendError, match="one caller at a time"):
            backend.caller()


def test_arena_and_search_reach_the_session(opened, agrees) -> None:
    backend, cost = opened(
        **CUDA, gpu_memory_limit="2GiB", arena_extend_strategy="kSameAsRequested",
        cudnn_conv_algo_search="HEURISTIC",
    )  # fmt: skip
    options = cost.details["provider_options"]
    assert options["gpu_mem_limit"] == str(2**31)
    assert options["arena_extend_strategy"] == "kSameAsRequested"
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    agrees(backend)


def test_an_arena_that_is_too_small_is_out_of_memory(opened, resnet) -> None:
    with pytest.raises(OutOfMemoryError):
        backend, _ = opened(**CUDA, gpu_memory_limit="32MiB")  # the weights alone take 98 MiB
        run_once(backend, make_inputs(resnet[0], 4, 0))


def test_what_a_large_point_left_in_the_arena_is_released(opened, resnet) -> None:
    torch = pytest.importorskip("torch")
    backend, _ = opened(**CUDA)

    def used() -> int:
        free, total = torch.cuda.mem_get_info()
        return (total - free) // 2**20

    run_once(backend, make_inputs(resnet[0], 1, 0))
    small = used()
    run_once(backend, make_inputs(resnet[0], 64, 0))
    run_once(backend, make_inputs(resnet[0], 1, 0))
    kept = used()
    began = time.monotonic()
    backend.release()
    took = time.monotonic() - began
    run_once(backend, make_inputs(resnet[0], 1, 0))
    print(f"small {small}, kept {kept}, after release {used()} MiB; release {took:.2f} s")
    assert kept > small + 200
    assert used() < small + 50


def test_callers_share_the_session(opened, resnet) -> None:
    backend, _ = opened(**CUDA)
    request = backend.prepare(make_inputs(resnet[0], 1, 0))
    expected = run_once(backend, make_inputs(resnet[0], 1, 0))["output"]
    answers = []

    def call() -> None:
        with backend.caller() as caller:
            answers.extend(caller.outputs(caller.infer(request))["output"] for _ in range(10))

    threads = [threading.Thread(target=call) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 40
    assert all(np.abs(a - expected).max() < 1e-3 * np.abs(expected).max() for a in answers)


def test_the_tensorrt_provider_runs_or_says_why_not(opened, agrees) -> None:
    try:
        backend, _ = opened(kind="onnxruntime", provider="TensorrtExecutionProvider")
    except HarnessError as error:
        assert isinstance(error, DeviceError)
        print(error.message)
    else:
        agrees(backend)
