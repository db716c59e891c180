"""A profile made for real, and what a worker's messages become."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.kineto import Machine, events_of
from support.profiled import gpu_profile, gpu_scenario, write_scenario

from harness.backends.onnxruntime.settings import OnnxRuntimeSettings
from harness.backends.tensorrt.settings import TensorRtSettings
from harness.errors import RunDirectoryError, UsageError
from harness.inspect.trace import Span, Trace
from harness.profile import execute
from harness.profile.split import Roof
from harness.profile.store import read_profile
from harness.results.store import read_run
from harness.run.execute import resume
from harness.scenario.reading.loader import load


def test_pytorch_on_the_cpu_is_profiled_at_each_batch_size(profiled: Path) -> None:
    profile = read_profile(profiled)
    (torch,) = profile.backends
    assert (torch.name, torch.failure, torch.threads) == ("torch-cpu-fp32", "", 1)
    assert [b.batch for b in torch.batches] == [1, 64]
    assert torch.ceilings is not None
    assert torch.ceilings.gemm["fp32"] > 1e7
    for batch in torch.batches:
        names = {r.name for r in batch.rows}
        assert {"aten::linear", "aten::batch_norm", "aten::relu"} <= names
        assert batch.flop == batch.batch * 2 * (8 * 16 + 16 * 5)
        assert (batch.on_gpu, batch.requests) == (False, 20)
        assert batch.calls_ms[0] > 0 < batch.steady_ms
        assert sum(batch.bound.shares.values()) == pytest.approx(1)
        assert batch.peak_bytes >= batch.batch * 16 * 4
        assert all((profiled / trace).is_file() for trace in batch.traces)
    assert list(profile.skipped) == ["triton-http-torch"]


def test_it_is_a_kind_of_its_own_and_no_run(profiled: Path) -> None:
    data = read_run(profiled)
    assert (data.manifest["kind"], data.complete, data.measurements) == ("profile", True, [])
    with pytest.raises(RunDirectoryError, match="of `harness profile`, and can't be resumed"):
        resume(profiled, None)  # type: ignore[arg-type]


def test_a_scenario_without_a_backend_in_process_is_refused(tmp_path: Path) -> None:
    scenario = load(write_scenario(tmp_path)).scenario
    served = scenario.model_copy(update={"backends": scenario.backends[1:]})
    with pytest.raises(UsageError, match="no backend of this scenario can be profiled"):
        execute.choose(served)


GPU_ORT = OnnxRuntimeSettings(kind="onnxruntime", name="o", provider="CUDAExecutionProvider")
NODES = [
    *({"cat": "Session", "name": "model_run", "ts": t, "dur": 90} for t in range(0, 700, 100)),
    {"cat": "Node", "name": "c_kernel_time", "ts": 610, "dur": 30, "args": {"op_name": "Conv"}},
    {"cat": "Node", "name": "f_kernel_time", "ts": 650, "dur": 4, "args": {"op_name": "Flatten"}},
]
MESSAGE: dict[str, Any] = {"event": "batch", "batch": 1, "calls_ms": [2.0, 1.0], "notes": []}


def test_on_a_gpu_onnxruntimes_layers_stand_beside_the_kernels(tmp_path: Path) -> None:
    folder = tmp_path / "o-b1"
    folder.mkdir()
    events = events_of(Machine(launch_us=60.0), 4, np.random.default_rng(0))
    (folder / "t.json").write_text(json.dumps(events))
    (folder / "onnxruntime.json").write_text(json.dumps(NODES))
    message = {**MESSAGE, "trace": "t.json", "onnxruntime": "onnxruntime.json",
               "calls_ms": [90.0, 60.0]}  # fmt: skip
    found = execute.analysed(message, tmp_path, GPU_ORT, Roof(1e14, 1e12))
    assert found.bound.kind == "launch-bound"
    assert [(r.name, r.us) for r in found.layers] == [("c", 15), ("f", 2)]
    assert "on the host" in found.notes[0]
    assert found.traces == ["traces/o-b1/t.json", "traces/o-b1/onnxruntime.json"]
    alone = execute.analysed(
        {**MESSAGE, "onnxruntime": "onnxruntime.json"}, tmp_path, GPU_ORT, None
    )
    assert (alone.layers, {r.source for r in alone.rows}) == ((), {"onnxruntime"})


def test_tensorrts_layers_with_kernels_and_without(tmp_path: Path) -> None:
    spec = TensorRtSettings(kind="tensorrt", name="t")
    message = {**MESSAGE, "tensorrt": [("conv", 600.0), ("relu", 100.0)]}
    alone = execute.analysed(message, tmp_path, spec, None)
    assert [(r.source, r.name, r.us) for r in alone.rows] == [
        ("tensorrt", "conv", 600), ("tensorrt", "relu", 100),
    ]  # fmt: skip
    assert (alone.bound.shares["other"], alone.bound.shares["launch"]) == (0.7, 0.3)
    assert "neither kernels nor gaps" in alone.notes[0]
    (tmp_path / "t-b1").mkdir()
    events = events_of(Machine(), 4, np.random.default_rng(0))
    (tmp_path / "t-b1" / "t.json").write_text(json.dumps(events))
    both = execute.analysed({**message, "trace": "t.json"}, tmp_path, spec, None)
    assert ([r.name for r in both.layers], both.on_gpu) == (["conv", "relu"], True)


def test_dispatch_of_onnxruntime_is_a_node_that_renames() -> None:
    nodes = [Span("a", 0, 3, kind="Flatten"), Span("b", 3, 8, kind="Reshape"),
             Span("c", 8, 99, kind="Conv"), Span("d", 99, 106, kind="Identity")]  # fmt: skip
    assert execute.node_floor(Trace((), tuple(nodes))) == 5
    assert execute.node_floor(Trace((), tuple(nodes[2:3]))) == 0


def test_flop_that_one_runtime_counts_are_the_others_too() -> None:
    profile = gpu_profile(Machine())
    (torch,) = profile.backends
    other = replace(torch, name="t", batches=[replace(torch.batches[0], flop=None)])
    found = execute.with_flop([other, torch])
    assert found[0].batches[0].flop == torch.batches[0].flop
    assert execute.choose(gpu_scenario())[1] == {}
