"""Traces read: hand-made events of both formats, and what is no trace."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import BackendError
from harness.inspect.trace import Span, kineto, onnxruntime, read_events, shapes


def event(category: str, name: str, ts: float, dur: float, **args: Any) -> dict[str, Any]:
    return {"ph": "X", "cat": category, "name": name, "ts": ts, "dur": dur, "tid": 1, "args": args}


def memory(ts: float, size: int, held: int, device: int = 0) -> dict[str, Any]:
    about = {"Bytes": size, "Total Allocated": held, "Device Type": device}
    return {"ph": "i", "name": "[memory]", "ts": ts, "tid": 1, "args": about}


def test_only_the_outermost_operators_are_kept_of_each_thread() -> None:
    trace = kineto([
        event("user_annotation", "harness.request", 0, 100),
        event("cpu_op", "aten::relu", 60, 10), event("cpu_op", "aten::conv2d", 10, 40),
        event("cpu_op", "aten::convolution", 11, 38),
        {**event("cpu_op", "aten::add", 20, 5), "tid": 2},
        event("python_function", "forward", 0, 100),
    ])  # fmt: skip
    assert [o.name for o in trace.operators] == ["aten::conv2d", "aten::add", "aten::relu"]
    assert (trace.requests[0].us, trace.on_gpu) == (100, False)


def test_kernels_copies_and_launches_by_what_links_them() -> None:
    trace = kineto([
        event("user_annotation", "harness.request", 0, 100),
        event("gpu_user_annotation", "harness.request", 10, 90),
        event("cuda_runtime", "cudaLaunchKernel", 1, 2, correlation=7),
        event("cuda_driver", "cuLaunchKernel", 3, 2, correlation=8),
        event("cuda_runtime", "cudaDeviceSynchronize", 5, 9),
        event("kernel", "gemm", 20, 5, correlation=7), event("gpu_memset", "Memset", 12, 1),
        event("gpu_memcpy", "Memcpy HtoD", 10, 1, correlation=8),
    ])  # fmt: skip
    assert [k.name for k in trace.kernels] == ["gemm"]
    assert [c.name for c in trace.copies] == ["Memcpy HtoD", "Memset"]
    assert {link: launch.begin for link, launch in trace.launches.items()} == {7: 1, 8: 3}
    assert (len(trace.requests), trace.on_gpu) == (1, True)


def test_memory_says_on_which_device() -> None:
    trace = kineto([
        memory(5, 100, 300, device=1), event("user_annotation", "harness.request", 0, 9),
        memory(2, -50, 200),
    ])  # fmt: skip
    assert [(m.at, m.bytes, m.held, m.on_gpu) for m in trace.memory] == [
        (2, -50, 200, False), (5, 100, 300, True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("dims", "text"),
    [
        ([[4, 3], [16], [], []], "[4, 3] [16]"), ([[[2, 3], [2, 5]], []], "[2, 3] [2, 5]"),
        ([], ""), (None, ""), ([[], 1, "x"], ""),
    ],
)  # fmt: skip
def test_shapes_are_those_of_tensors(dims: object, text: str) -> None:
    assert shapes(dims) == text


def node(name: str, kind: str, ts: float, **about: Any) -> dict[str, Any]:
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": 5,
            "args": {"op_name": kind, "provider": "CPUExecutionProvider", **about}}  # fmt: skip


def test_onnxruntimes_nodes_know_their_work() -> None:
    sizes = {"activation_size": "100", "parameter_size": "20", "output_size": "30"}
    floats = [[{"float": s}] for s in ([2, 8, 4, 4], [2, 10], [2, 5])]
    events = [
        {"cat": "Session", "name": "model_run", "ts": 0, "dur": 50},
        node("warm", "Conv", 1),
        {"cat": "Session", "name": "model_run", "ts": 100, "dur": 50},
        {"cat": "Node", "name": "c_fence_before", "ts": 101, "dur": 1},
        node("c", "Conv", 102, **sizes, output_type_shape=floats[0],
             input_type_shape=[{"float": [2, 3, 4, 4]}, {"float": [8, 3, 3, 3]}]),
        node("m", "MatMul", 110, output_type_shape=floats[1],
             input_type_shape=[{"float": [2, 16]}]),
        node("r", "Relu", 120, **sizes, output_type_shape=floats[2]),
        node("h", "Conv", 130, output_type_shape=floats[0]),
    ]  # fmt: skip
    trace, work = onnxruntime(events, 1)
    first = trace.operators[0]
    assert (first.name, first.kind, first.shape) == ("c", "Conv", "[2, 8, 4, 4]")
    assert [o.name for o in trace.operators] == ["c", "m", "r", "h"]
    assert work["c", "[2, 8, 4, 4]"] == (2 * 2 * 8 * 16 * 27, 150)
    assert work["m", "[2, 10]"] == (2 * 20 * 16, None)
    assert work["r", "[2, 5]"] == (0, 150)
    assert work["h", "[2, 8, 4, 4]"] == (None, None)


def test_what_has_no_request_is_refused() -> None:
    with pytest.raises(BackendError, match="no request"):
        kineto([event("cpu_op", "aten::relu", 0, 1)])
    with pytest.raises(BackendError, match="no run"):
        onnxruntime([{"cat": "Session", "name": "model_run", "ts": 0, "dur": 1}], 1)


def test_files_packed_or_not_and_what_is_none(tmp_path: Path) -> None:
    plain, packed, wrong = (tmp_path / n for n in ("a.json", "b.json.gz", "c.json"))
    plain.write_text(json.dumps([{"name": "x"}]))
    packed.write_bytes(gzip.compress(json.dumps({"traceEvents": [{"name": "y"}]}).encode()))
    wrong.write_text("{}")
    assert [read_events(p)[0]["name"] for p in (plain, packed)] == ["x", "y"]
    for path in (wrong, tmp_path / "none.json"):
        with pytest.raises(BackendError, match="no trace that can be read"):
            read_events(path)


def test_a_span_is_as_long_as_from_its_begin_to_its_end() -> None:
    span = Span("x", 2.0, 5.5, "[1]")
    assert (span.us, span.key) == (3.5, ("x", "[1]"))
