"""Layers by the runtimes' own profilers: ONNX Runtime's for real, TensorRT's without a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.sample import ready, spec
from support.tiny_onnx import tiny_onnx

from harness.backends.base import BackendContext
from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.models.inputs import make_inputs
from harness.profile.layers import WARM, layer_times, mean_us, onnxruntime_layers
from harness.profile.trace import onnxruntime, read_events


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


def test_tensorrts_profiler_keeps_what_it_is_told() -> None:
    module = pytest.importorskip("tensorrt_rtx")
    times = layer_times(module)
    for name, ms in (("conv", 0.5), ("relu", 0.1), ("conv", 0.7), ("relu", 0.3)):
        times.report_layer_time(name, ms)
    assert isinstance(times, module.IProfiler)
    assert mean_us(times.reported, 2) == [
        ("conv", pytest.approx(600)),
        ("relu", pytest.approx(200)),
    ]
