"""Layers' times from each runtime's words."""

from __future__ import annotations

from typing import Any

from harness.inspect.layers import Described, described, of_reports, of_trace
from harness.inspect.trace import REQUEST, Span, Trace, onnxruntime

INSPECTED = """{"Layers": [
  {"Name": "conv1_myl0_2", "LayerType": "correlation", "TacticName": "__myelin_CASK_STUB",
   "Outputs": [{"Name": "e", "Dimensions": [-1, 8, 32, 32], "Datatype": "Half"}]},
  {"Name": "__myl_TranMean_myl0_4", "LayerType": "kgen", "TacticName": "__myl_TranMean_0x2e",
   "Outputs": [{"Dimensions": [-1, 8, 1, 1]}, {"Dimensions": [2]}]},
  "a name alone"
]}"""
"""As TensorRT-RTX 1.7 prints an engine's layers, cut short."""


def event(category: str, name: str, duration: int, ts: int, **about: Any) -> dict[str, Any]:
    return {"cat": category, "name": name, "dur": duration, "ts": ts, "args": about}


def test_onnxruntimes_nodes_of_each_run_that_counts() -> None:
    node: dict[str, Any] = {"op_name": "Conv", "output_type_shape": [{"float": [1, 3]}],
                            "provider": "CPUExecutionProvider"}  # fmt: skip
    events = [
        event("Session", "model_run", 9, 1), event("Node", "c_kernel_time", 5, 2, **node),
        event("Node", "c_fence_before", 1, 2), event("Session", "model_run", 7, 13),
        event("Node", "c_kernel_time", 4, 14, **node), event("Session", "model_run", 8, 23),
        event("Node", "c_kernel_time", 6, 24, **node),
    ]  # fmt: skip
    found = of_trace(onnxruntime(events, 1)[0])
    assert found.to_json() == {
        "run_us": [7.0, 8.0],
        "layers": [{"name": "c", "type": "Conv", "shape": "[1, 3]",
                    "where": "CPUExecutionProvider", "us": [4.0, 6.0]}],
    }  # fmt: skip


def test_on_a_gpu_an_operators_time_is_that_of_its_kernels() -> None:
    """Whenever they run; equal operators of one run are one layer."""
    trace = Trace(
        (Span(REQUEST, 0, 100), Span(REQUEST, 100, 200)),
        (Span("conv", 10, 20, "[1]"), Span("conv", 20, 30, "[1]"), Span("conv", 110, 120, "[1]")),
        kernels=(Span("k1", 40, 45, link=1), Span("k2", 45, 90, link=2),
                 Span("k1", 130, 137, link=3)),
        launches={1: Span("l", 12, 13, link=1), 2: Span("l", 22, 23, link=2),
                  3: Span("l", 112, 113, link=3)},
    )  # fmt: skip
    (layer,) = of_trace(trace).layers
    assert (layer.name, layer.type, layer.where, layer.us) == ("conv", "conv", "k1", [50.0, 7.0])


def test_what_tensorrts_inspector_says_of_a_layer() -> None:
    assert described(INSPECTED) == {
        "conv1_myl0_2": Described("correlation", "[-1, 8, 32, 32]", ""),
        "__myl_TranMean_myl0_4": Described("kgen", "[-1, 8, 1, 1] [2]", "__myl_TranMean_0x2e"),
    }
    assert described("no JSON") == {}
    assert described("[]") == {}


def test_tensorrts_reports_are_kept_run_by_run() -> None:
    runs = [[("a", 0.5), ("b", 0.1)], [("a", 0.7), ("b", 0.1), ("b", 0.2)], [("a", 0.6)]]
    found = of_reports(runs, [900.0, 950.0, 910.0], {"a": Described("gemm", "[2]", "t")})
    assert found.run_us == [900.0, 950.0, 910.0]
    a, b = found.layers
    assert (a.type, a.shape, a.where) == ("gemm", "[2]", "t")
    assert [round(x) for x in a.us] == [500, 700, 600]
    assert (b.type, [round(x) for x in b.us]) == ("", [100, 300, 0])
