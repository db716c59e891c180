"""Requests, buffers, profiles and graphs of the TensorRT backend, on an engine in host memory."""

from __future__ import annotations

import gc
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support.host_cuda import HostCuda, HostEngine, Mode

from harness.backends.base import BackendContext, run_once
from harness.backends.tensorrt import cache as engine_cache
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.backend import TensorRtBackend, _profiles, build_options, onnx_format
from harness.backends.tensorrt.bindings import (
    Binding,
    Loaded,
    bindings,
    decode,
    from_bfloat16,
    to_bfloat16,
)
from harness.backends.tensorrt.build import Shapes
from harness.backends.tensorrt.settings import TensorRtSettings as Spec
from harness.errors import BackendError, OutOfMemoryError
from harness.measure.gpu_time import GpuTime, split
from harness.models.tensors import PreparedModel, TensorSpec

MODEL = PreparedModel(
    name="m", source={"onnx": "m.onnx"}, key="k",
    inputs=(TensorSpec("x", "float32", ("batch", 4)),), outputs=(), max_batch_size=8,
)  # fmt: skip
TRT = SimpleNamespace(TensorIOMode=Mode, BuilderFlag=SimpleNamespace())


def backend(cuda: HostCuda, profiles=((1, 8, 8),), *, fails=False, **settings) -> TensorRtBackend:
    made = TensorRtBackend(Spec(kind="tensorrt", **settings), BackendContext(MODEL))
    engine = HostEngine(cuda, list(profiles), fails)
    inputs, outputs = bindings(TRT, engine)
    made._loaded = Loaded(
        trt.Flavor("tensorrt", "10.9.0.34", TRT), trt.Messages(), cuda, engine, inputs, outputs,
        _profiles(engine, inputs),
    )  # fmt: skip
    return made


def batch(size: int, start: float = 0.0) -> np.ndarray:
    return np.arange(start, start + size * 4, dtype=np.float32).reshape(size, 4)


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


def _no_memory(size: int) -> int:
    raise OutOfMemoryError(f"allocating {size} bytes on the GPU")


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_closed_caller_keeps_no_context(settings: dict[str, object]) -> None:
    loaded = backend(HostCuda(), **settings)
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as caller:
        caller.infer(request)
        assert loaded.memory()["tensorrt_contexts"] == 1024
    contexts = loaded.loaded.engine.contexts
    context = weakref.ref(contexts.pop())
    loaded.release()
    assert context() is None
    assert loaded.memory() == {"tensorrt_contexts": 0, "tensorrt_buffers": 0}


def test_io_device_copies_nothing_within_the_request() -> None:
    cuda = HostCuda()
    loaded = backend(cuda, io="device")
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as caller:
        cuda.to_device = cuda.to_host = None  # type: ignore[assignment]
        caller.infer(request)


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


def test_memory_names_contexts_and_buffers() -> None:
    loaded = backend(HostCuda())
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as one, loaded.caller():
        one.infer(request)
        assert loaded.memory() == {"tensorrt_contexts": 2048, "tensorrt_buffers": 2 * 16 + 2 * 4}
    # the contexts are kept, and so counted, until `release`
    assert loaded.memory() == {"tensorrt_contexts": 2048, "tensorrt_buffers": 0}
    loaded.release()
    assert loaded.memory() == {"tensorrt_contexts": 0, "tensorrt_buffers": 0}


def test_counters_grow_and_survive_their_caller() -> None:
    cuda = HostCuda()
    loaded = backend(cuda)
    before = loaded.statistics()
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as caller:
        for _ in range(5):
            caller.infer(request)
        during = loaded.statistics()
    after = loaded.statistics()
    times = split(during, before)
    assert times is not None
    assert (times.h2d_us, times.compute_us, times.d2h_us, times.count) == (1.0, 1.0, 1.0, 2)
    assert after == during
    assert split(after, during) is None


def test_host_bound_is_when_enqueueing_takes_as_long_as_computing() -> None:
    assert GpuTime(0, 100, 0, 81, 1).host_bound
    assert not GpuTime(0, 100, 0, 79, 1).host_bound


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


@pytest.mark.parametrize(
    ("tensors", "words"),
    [({}, "wants an input 'x'"), ({"x": np.zeros((2, 5), np.float32)}, r"shape \[2, 5\]"),
     ({"x": np.zeros(4, np.float32)}, r"takes \[-1, 4\]")],
)  # fmt: skip
def test_inputs_that_do_not_fit(tensors: dict[str, np.ndarray], words: str) -> None:
    with pytest.raises(BackendError, match=words):
        backend(HostCuda()).prepare(tensors)


def test_bfloat16_rounds_to_nearest_even_and_keeps_nan() -> None:
    values = np.float32([1.0, 1 + 2**-8, 1 + 3 * 2**-8, -3.0e38, np.inf, np.nan])
    back = from_bfloat16(to_bfloat16(values))
    assert back[:3].tolist() == [1.0, 1.0, 1 + 2**-6]
    assert np.isinf(back[4]) and np.isnan(back[5])
    binding = Binding("b", "bfloat16", (-1,))
    data = to_bfloat16(np.float32([2.0, 3.0])).view(np.uint8)
    assert decode(binding, data, (2,)).tolist() == [2.0, 3.0]


def test_the_signature_of_a_bare_engine_comes_from_the_engine() -> None:
    made = backend(HostCuda())
    made.context = BackendContext(PreparedModel("m", {"engine": "e"}, "k", (), ()))
    assert made.signature.inputs == (TensorSpec("x", "float32", ("batch", 4)),)
    assert made.signature.outputs == (TensorSpec("sum", "float32", ("batch",)),)


# ---------------------------------------------------------------------------------------- options


def test_an_engine_built_with_tf32_forbidden_is_another_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    flavor = trt.Flavor("tensorrt", "10.9.0.34", TRT)
    keys = set()
    for value in ("", "0"):
        monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", value)
        options = build_options(Spec(kind="tensorrt"), BackendContext(MODEL, batch_sizes=(1,)))
        target = engine_cache.Target("m", "k", tmp_path / "m.onnx", "gpu", options)
        keys.add(engine_cache.key(flavor, target))
    assert len(keys) == 2


def test_an_engine_is_that_of_the_weights_colocated_the_graph(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"the graph alone")
    flavor = trt.Flavor("tensorrt", "10.9.0.34", TRT)
    keys: set[str] = set()
    monkeypatch.setattr(
        engine_cache, "get", lambda _, target, *rest: keys.add(engine_cache.key(flavor, target))
    )
    for key in ("weights", "other weights"):
        model = replace(MODEL, key=key, files={"onnx": str(tmp_path / "m.onnx")})
        made = TensorRtBackend(Spec(kind="tensorrt"), BackendContext(model, cache=tmp_path))
        made._build(flavor, HostCuda(), trt.Messages())
    assert len(keys) == 2


def test_build_options_come_from_scenario_and_batch_sizes() -> None:
    spec = Spec(kind="tensorrt", precision="fp16", workspace="1GiB", optimization_level=2)
    options = build_options(spec, BackendContext(MODEL, batch_sizes=(2, 6)))
    assert options.profiles == ({"x": Shapes((2, 4), (6, 4), (6, 4))},)
    assert (options.precision, options.workspace, options.optimization_level) == ("fp16", 2**30, 2)
    each = Spec.model_validate({"kind": "tensorrt", "profile": {"each": True}})
    assert len(build_options(each, BackendContext(MODEL, batch_sizes=(2, 6))).profiles) == 2


@pytest.mark.parametrize(
    ("flavor", "flags", "precision", "format"),
    [("tensorrt", {"FP16": 0}, "fp16", "onnx"), ("tensorrt", {}, "fp16", "onnx_fp16"),
     ("tensorrt-rtx", {}, "bf16", "onnx_bf16"), ("tensorrt-rtx", {}, "tf32", "onnx")],
)  # fmt: skip
def test_where_the_precision_comes_from(
    flavor: trt.FlavorName, flags: dict[str, int], precision: str, format: str
) -> None:
    module = SimpleNamespace(BuilderFlag=SimpleNamespace(**flags))
    assert onnx_format(trt.Flavor(flavor, "1", module), precision) == format


def test_an_engine_of_another_version_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    file = tmp_path / "old.engine"
    file.write_bytes(b"ftrt".ljust(24, b"\0") + bytes([10, 3, 0, 26]) + bytes(100))
    model = PreparedModel("m", {"engine": str(file)}, "k", (), ())
    made = TensorRtBackend(Spec(kind="tensorrt"), BackendContext(model))
    flavor = trt.Flavor("tensorrt", "10.9.0.34", TRT)
    with pytest.raises(
        BackendError, match=r"built by TensorRT 10\.3\.0\.26, and this is TensorRT 10\.9"
    ):
        made._open(flavor, HostCuda(), None, trt.Messages())


class Runtime:
    """Refuses the first `refusals` engines, as after a change of driver."""

    def __init__(self, refusals: int, messages: trt.Messages) -> None:
        self.refusals, self.messages = refusals, messages

    def deserialize_cuda_engine(self, data: bytes) -> str | None:
        self.refusals -= 1
        if self.refusals >= 0:
            self.messages.add("ERROR", "[runtime.cpp::load::1] Error Code 1: Driver (too old)")
            return None
        return "engine"


def _open_from_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, refusals: int, *, cached: bool
) -> tuple[dict[str, object], list[str]]:
    file, calls = tmp_path / "model.engine", []
    file.write_bytes(b"engine")

    def get(*_: object) -> engine_cache.Engine:
        calls.append("get")
        first = cached and len(calls) == 1
        return engine_cache.Engine(file, 6, 1.5, first, "sha", {}, tmp_path / "build.log")

    monkeypatch.setattr(engine_cache, "get", get)
    monkeypatch.setattr(engine_cache, "forget", lambda engine: calls.append("forget"))
    model = PreparedModel("m", {"onnx": "m"}, "k", MODEL.inputs, (), {"onnx": "m.onnx"})
    made = TensorRtBackend(Spec(kind="tensorrt"), BackendContext(model, cache=tmp_path))
    messages = trt.Messages()
    flavor = trt.Flavor("tensorrt", "10.9.0.34", TRT)
    _, _, facts = made._open(flavor, HostCuda(), Runtime(refusals, messages), messages)
    return facts, calls


def test_an_engine_from_the_cache_that_is_refused_is_built_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts, calls = _open_from_cache(monkeypatch, tmp_path, 1, cached=True)
    assert calls == ["get", "forget", "get"]
    assert "refused" in str(facts["note"])
    assert "Driver (too old)" in str(facts["note"])
    assert facts["built"] is True


def test_an_engine_that_was_just_built_and_is_refused_is_an_error_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(BackendError) as caught:
        _open_from_cache(monkeypatch, tmp_path, 2, cached=False)
    assert caught.value.message == (
        "TensorRT 10.9.0.34 refuses the engine on Test GPU (compute capability 9.0): "
        "Driver (too old)"
    )


@pytest.mark.parametrize(
    ("name", "io", "ours"),
    [("tensorrt", "host", True), ("tensorrt-rtx", "host", False), ("tensorrt-rtx", "device", True)],
)
def test_who_captures_graphs(name: trt.FlavorName, io: str, ours: bool) -> None:
    made = backend(HostCuda(), cuda_graphs=True, io=io)
    module = SimpleNamespace(CudaGraphStrategy=object, BuilderFlag=SimpleNamespace())
    made.loaded.flavor = trt.Flavor(name, "1.6.1", module)
    assert made._capture_graphs() is ours
