"""Buffers, profiles and graphs of a caller, on an engine in host memory."""

from __future__ import annotations

import contextlib
import gc
import threading

import numpy as np
import pytest
from support.host_backend import backend, batch
from support.host_cuda import HostCuda

from harness.backends.base import run_once
from harness.backends.cuda.memory import Bytes
from harness.errors import BackendError, OutOfMemoryError

SETTINGS = [
    {"io": io, "cuda_graphs": graphs} for io in ("host", "device") for graphs in (False, True)
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_answers_are_right_whatever_the_order_of_shapes(settings: dict[str, object]) -> None:
    cuda = HostCuda()
    loaded = backend(cuda, **settings)
    inputs = [batch(n, start) for n, start in ((2, 0), (5, 7), (2, 9), (1, 3), (5, 1), (8, 2))]
    requests = [loaded.prepare({"x": x}) for x in inputs]
    with loaded.caller() as caller:
        for _ in range(2):
            for request, x in zip(requests, inputs, strict=True):
                assert np.array_equal(caller.outputs(caller.infer(request))["sum"], x.sum(1))


@pytest.mark.parametrize("settings", SETTINGS)
def test_nothing_is_left_on_the_device(settings: dict[str, object]) -> None:
    cuda = HostCuda()
    loaded = backend(cuda, **settings)
    for size in (1, 4, 8):
        run_once(loaded, {"x": batch(size)})
    gc.collect()
    assert cuda.live == {}
    assert cuda.pins == 0
    assert cuda.captured == 0
    assert cuda.made == 0


def test_after_a_shape_that_found_no_memory_the_one_before_it_is_set_up_again() -> None:
    cuda = HostCuda()
    loaded = backend(cuda)
    small, large = loaded.prepare({"x": batch(2)}), loaded.prepare({"x": batch(8)})
    with loaded.caller() as caller:
        caller.infer(small)
        allocate, cuda.allocate = cuda.allocate, _no_memory  # type: ignore[method-assign]
        with pytest.raises(OutOfMemoryError):
            caller.infer(large)
        cuda.allocate = allocate  # type: ignore[method-assign]
        assert np.array_equal(caller.outputs(caller.infer(small))["sum"], batch(2).sum(1))


@pytest.mark.parametrize("settings", SETTINGS)
def test_several_requests_are_in_flight_and_each_caller_has_its_own_answer(
    settings: dict[str, object],
) -> None:
    loaded = backend(HostCuda(), **settings)
    assert loaded.streams
    inputs = [batch(3, start) for start in (0, 5, 9)]
    requests = [loaded.prepare({"x": x}) for x in inputs]
    with contextlib.ExitStack() as stack:
        callers = [stack.enter_context(loaded.caller()) for _ in requests]
        for caller in callers:
            caller.warm(requests[0])
        for caller, request in zip(callers, requests, strict=True):
            caller.begin(request)
        assert not any(caller.ready() for caller in callers)  # nothing waits in `begin`
        for caller, x in zip(callers, inputs, strict=True):
            while not caller.ready():
                pass
            assert np.array_equal(caller.outputs(caller.finish())["sum"], x.sum(1))


def _no_memory(size: int) -> int:
    raise OutOfMemoryError(f"allocating {size} bytes on the GPU")


def test_io_device_copies_nothing_within_the_request() -> None:
    cuda = HostCuda()
    loaded = backend(cuda, io="device")
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as caller:
        cuda.to_device = cuda.to_host = None  # type: ignore[assignment]
        caller.infer(request)


def test_outputs_kept_under_load_pin_no_memory_anew() -> None:
    """Pinning takes milliseconds, of which the next request knows nothing: throughput does."""
    cuda = HostCuda()
    loaded = backend(cuda, io="device")
    requests = {n: loaded.prepare({"x": batch(n)}) for n in (5, 2)}
    with loaded.caller() as caller:
        for n, request in requests.items():  # the smaller one fits into the same memory
            assert np.array_equal(caller.outputs(caller.infer(request))["sum"], batch(n).sum(1))
        pinned, cuda.pinned = cuda.pinned, _no_pinning  # type: ignore[method-assign]
        first = caller.outputs(caller.infer(requests[2]))["sum"]
        caller.outputs(caller.infer(requests[5]))
        assert np.array_equal(first, batch(2).sum(1))  # what was kept stays as it was
        cuda.pinned = pinned  # type: ignore[method-assign]


def _no_pinning(size: int) -> Bytes:
    raise AssertionError(f"{size} bytes were pinned")


def test_graphs_are_captured_once_for_a_shape_and_again_when_buffers_move() -> None:
    cuda = HostCuda()
    loaded = backend(cuda, cuda_graphs=True)
    small, large = loaded.prepare({"x": batch(1)}), loaded.prepare({"x": batch(8)})
    with loaded.caller() as caller:
        for _ in range(3):
            caller.infer(small)
        assert (cuda.captured, cuda.launched) == (1, 3)
        caller.infer(large)  # larger buffers: the first graph's addresses are gone
        assert cuda.captured == 1
        caller.infer(small)
        assert cuda.captured == 2
        assert np.array_equal(caller.outputs(caller.infer(small))["sum"], batch(1).sum(1))


def test_each_caller_has_its_own_context_and_may_live_in_its_own_thread() -> None:
    cuda = HostCuda()
    loaded = backend(cuda)
    request = loaded.prepare({"x": batch(3)})
    answers: list[np.ndarray] = []

    def call() -> None:
        with loaded.caller() as caller:
            answers.append(caller.outputs(caller.infer(request))["sum"])

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert all(np.array_equal(a, batch(3).sum(1)) for a in answers)
    assert len(loaded.loaded.engine.contexts) == 3
    assert cuda.attached == {threading.get_ident()}


def test_the_profile_of_the_batch_size_is_used() -> None:
    loaded = backend(HostCuda(), [(1, 1, 1), (4, 4, 4)])
    assert run_once(loaded, {"x": batch(4)})["sum"].shape == (4,)
    assert loaded.loaded.engine.contexts[-1].profile == 1
    with pytest.raises(BackendError, match=r"profiles do not cover .*\(2, 4\)"):
        run_once(loaded, {"x": batch(2)})


def test_a_failed_execution_raises_what_tensorrt_logged() -> None:
    loaded = backend(HostCuda(), fails=True)
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as caller:
        loaded.loaded.messages.add("ERROR", "[enqueue.cpp::run::1] Error Code 1: Cuda (broken)")
        with pytest.raises(BackendError, match=r"running the engine: Cuda \(broken\)"):
            caller.infer(request)


def test_a_context_that_can_not_be_made_leaves_the_thread_detached() -> None:
    cuda = HostCuda()
    loaded = backend(cuda)
    loaded.loaded.engine.create_execution_context = lambda *_: None
    seen: list[BaseException] = []

    def call() -> None:
        try:
            loaded.caller()
        except BackendError as error:
            seen.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert "creating an execution context" in str(seen[0])
    assert cuda.attached == {threading.get_ident()}


def test_layers_are_told_to_a_profiler_from_then_on() -> None:
    loaded, told = backend(HostCuda()), object()
    with loaded.caller() as caller:
        caller.report_layers(told)  # type: ignore[arg-type]
        assert caller._context.profiler is told
