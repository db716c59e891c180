"""Requests, buffers, profiles and graphs of the TensorRT backend, on an engine in host memory."""

from __future__ import annotations

import tempfile
import time
import weakref
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.host_backend import MODEL, TRT, backend, batch
from support.host_cuda import HostCuda

from harness.backends.base import BackendContext
from harness.backends.tensorrt import cache as engine_cache
from harness.backends.tensorrt import library as trt
from harness.backends.tensorrt.backend import Host, TensorRtBackend, build_options, onnx_format
from harness.backends.tensorrt.build import Shapes
from harness.backends.tensorrt.settings import TensorRtSettings as Spec
from harness.errors import BackendError
from harness.measure.gpu_time import split
from harness.models.tensors import PreparedModel, TensorSpec


@pytest.mark.parametrize("settings", [{"io": "host"}, {"io": "device", "cuda_graphs": True}])
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


def test_counters_grow_and_survive_their_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.backends.timing.TIMED_EVERY_NS", 0)
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
    assert [times[key] for key in ("h2d_us", "compute_us", "d2h_us")] == [1.0] * 3
    assert times["count"] == 5
    assert after == during
    assert split(after, during) is None


def test_the_parts_are_timed_rarely_over_all_callers() -> None:
    """The first request is, and with 100 ms between two of them no other of these."""
    loaded = backend(HostCuda())
    request = loaded.prepare({"x": batch(2)})
    with loaded.caller() as one, loaded.caller() as two:
        begin = time.monotonic()
        for _ in range(20):
            one.infer(request)
            two.infer(request)
        seconds = time.monotonic() - begin
    assert 1 <= loaded.statistics()["gpu_timed"] <= 1 + seconds / 0.1


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
        target = engine_cache.EngineTarget("m", "k", tmp_path / "m.onnx", "gpu", options)
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
        made._build(Host(flavor, HostCuda(), None, trt.Messages()))
    assert len(keys) == 2


@pytest.mark.parametrize("rebuild", [True, False])
def test_to_build_anew_is_to_share_no_cache(
    rebuild: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"m")
    folders: list[Path] = []
    monkeypatch.setattr(engine_cache, "get", lambda flavor, target, cache, _: folders.append(cache))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    flavor = trt.Flavor("tensorrt", "10.9.0.34", TRT)
    model = replace(MODEL, files={"onnx": str(tmp_path / "m.onnx")})
    for _ in range(2):
        settings = Spec(kind="tensorrt", rebuild=rebuild)
        made = TensorRtBackend(settings, BackendContext(model, cache=tmp_path / "cache"))
        made._build(Host(flavor, HostCuda(), None, trt.Messages()))
    shared = tmp_path / "cache"
    assert (len(set(folders)), shared in folders) == ((2, False) if rebuild else (1, True))


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
        made._open(Host(flavor, HostCuda(), None, trt.Messages()))


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
    _, _, facts = made._open(Host(flavor, HostCuda(), Runtime(refusals, messages), messages))
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
