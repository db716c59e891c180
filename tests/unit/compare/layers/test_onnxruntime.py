"""ONNX Runtime's profile, by the real one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support.tiny_onnx import tiny_onnx

from harness.compare.layers.onnxruntime import layers, profile


def test_every_layer_of_a_real_model_with_each_runs_time(tmp_path: Path) -> None:
    model = tiny_onnx(tmp_path / "tiny.onnx")
    said: dict[str, Any] = profile(str(model), "CPUExecutionProvider", 1, 2, warmup=3, runs=5)
    assert {x["type"] for x in said["layers"]} >= {"Conv", "GlobalAveragePool", "MatMul"}
    assert all(len(x["us"]) == 5 for x in said["layers"])
    assert len(said["run_us"]) == 5
    (matmul,) = [x for x in said["layers"] if x["type"] == "MatMul"]
    assert (json.loads(matmul["shape"]), matmul["where"]) == ([[2, 10]], "CPUExecutionProvider")
    assert all(run > 0 for run in said["run_us"])


def event(category: str, name: str, duration: int, ts: int, **about: Any) -> dict[str, Any]:
    return {"cat": category, "name": name, "dur": duration, "ts": ts, "args": about}


def test_warm_up_runs_are_left_out() -> None:
    node: dict[str, Any] = {"op_name": "Conv", "output_type_shape": [{"float": [1, 3]}]}
    events = [
        event("Session", "model_run", 9, 1), event("Node", "c_kernel_time", 5, 2, **node),
        event("Node", "c_fence_before", 1, 2), event("Session", "model_run", 7, 3),
        event("Node", "c_kernel_time", 4, 4, **node),
    ]  # fmt: skip
    assert layers(events, 1) == {
        "run_us": [7.0],
        "layers": [{"name": "c", "type": "Conv", "shape": "[[1, 3]]", "where": "", "us": [4.0]}],
    }
