"""Layers by the runtimes' own profilers: ONNX Runtime's for real, TensorRT's without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample import ready, spec
from support.tiny_onnx import tiny_onnx

from harness.backends.base import BackendContext
from harness.backends.fake import FakeSettings
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.torch.settings import TorchSettings
from harness.errors import UsageError
from harness.inspect.profilers import WARM, layer_times, onnxruntime_layers, profile_layers
from harness.inspect.trace import onnxruntime, read_events
from harness.models.inputs import make_inputs


def test_every_node_of_each_run_with_its_work(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "tiny.onnx")
    model = ready(spec(inputs=(), onnx=str(path)), tmp_path / "cache", ("onnx",), base=tmp_path)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o", threads=1)
    target = tmp_path / "o-b2" / "onnxruntime.json"
    onnxruntime_layers(settings, BackendContext(model), make_inputs(model, 2, 0), 3, target)
    trace, work = onnxruntime(read_events(target), WARM)
    assert len(trace.requests) == 3
    by_kind = {o.kind: o.key for o in trace.operators}
    assert {"Conv", "MatMul"} <= set(by_kind)
    assert work[by_kind["Conv"]][0] == 2 * 2 * 16 * 256 * 27
    assert work[by_kind["MatMul"]][0] == 2 * 2 * 10 * 16


def test_every_layer_of_onnxruntime_with_each_runs_time(tmp_path: Path) -> None:
    path = tiny_onnx(tmp_path / "tiny.onnx")
    model = ready(spec(inputs=(), onnx=str(path)), tmp_path / "cache", ("onnx",), base=tmp_path)[0]
    settings = OnnxRuntimeSettings(kind="onnxruntime", name="o", threads=1)
    found = profile_layers(settings, BackendContext(model), 2, 4, tmp_path / "o")
    assert {x.type for x in found.layers} >= {"Conv", "GlobalAveragePool", "MatMul"}
    assert all(len(x.us) == 4 and sum(x.us) > 0 for x in found.layers)
    (matmul,) = [x for x in found.layers if x.type == "MatMul"]
    assert (matmul.shape, matmul.where) == ("[2, 10]", "CPUExecutionProvider")
    assert len(found.run_us) == 4


def test_every_operator_of_pytorch_with_each_runs_time(tmp_path: Path) -> None:
    model = ready(spec(), tmp_path / "cache", ("torch",))[0]
    settings = TorchSettings(kind="torch", name="t", device="cpu")
    found = profile_layers(settings, BackendContext(model), 2, 3, tmp_path / "t")
    linear = [x for x in found.layers if x.name == "aten::linear"]
    assert linear
    assert all(len(x.us) == 3 and min(x.us) > 0 and x.shape.startswith("[2, ") for x in linear)
    assert all(run > sum(x.us[n] for x in found.layers) for n, run in enumerate(found.run_us))


def test_a_backend_whose_runtime_tells_no_layers(tmp_path: Path) -> None:
    model = ready(spec(), tmp_path / "cache", ())[0]
    with pytest.raises(UsageError, match="tells no layers"):
        profile_layers(FakeSettings(kind="fake", name="f"), BackendContext(model), 1, 1, tmp_path)


def test_tensorrts_profiler_keeps_what_it_is_told() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    times = layer_times(module)
    for name, ms in (("conv", 0.5), ("relu", 0.1)):
        times.report_layer_time(name, ms)
    assert isinstance(times, module.IProfiler)
    assert times.reported == [("conv", 0.5), ("relu", 0.1)]
