"""Concurrent callers in one process: threads, one thread over streams, CUDA graphs, and a C loop.

    PYTHONPATH=. python benchmarks/gpu/streams.py --output OUT      about 130 s on a GPU, needs nvcc

ResNet-50 in fp16, closed loop, `io: host`; the same loaded model is called in each way, in rounds
of shuffled order. The C loop (streams_loop.c, built here with nvcc) is the least that such a load
can be: it launches the same captured graphs, with the same copies, on streams of such callers, and
asks their events in turn. What the harness reaches of its throughput is what the harness leaves.
"""

from __future__ import annotations

import contextlib
import ctypes
import random
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gpubench
import numpy as np

from harness.load.choose import make_generator
from harness.load.plan import LoadPlan, WindowSettings
from harness.measure.gpu_time import launching, split
from harness.measure.reduce import in_window, throughput
from harness.measure.window import measure
from harness.models.inputs import make_inputs

TENSORRT = {"kind": "tensorrt", "precision": "fp16"}
TORCH = {"kind": "torch", "device": "cuda", "precision": "fp16"}
CASES: dict[str, dict[str, Any]] = {
    "tensorrt-fp16": TENSORRT,
    "tensorrt-fp16-graphs": {**TENSORRT, "cuda_graphs": True},
    "torch-fp16": TORCH,
    "torch-fp16-compiled": {**TORCH, "compile": True},
}
BATCHES = {"tensorrt": (1, 8), "torch": (1,)}
CALLERS = (1, 4, 16)
ROUNDS = 3
BUDGET_S = 60.0
WARM_S, WINDOW_S = 0.2, 0.6
INPUTS = 4
SOURCE = Path(__file__).with_name("streams_loop.c")
Way = Callable[[int, int], dict[str, Any]]
"""One measurement with so many callers at a batch size."""


# -------------------------------------------------------------------------------- the harness


def harness_way(backend: Any, requests: Mapping[int, Sequence[Any]], callers_in: str) -> Way:
    """The harness's own closed loop, its callers opened anew."""

    def once(batch: int, callers: int) -> dict[str, Any]:
        backend.spec = backend.spec.model_copy(update={"callers": callers_in})
        generator = make_generator(
            backend, requests[batch], LoadPlan(concurrency=callers), request_timeout=30.0
        )
        settings = WindowSettings(WARM_S, 2 * callers, WINDOW_S, 1, 10.0, 30.0)
        window, samples = measure(backend, generator, settings, lambda *_: None)
        backend.release()
        begin, end = window.begin_ns, window.end_ns
        inside = in_window(samples, begin, end)
        times = split(window.after, window.before)
        return {
            "requests_s": throughput(samples, begin, end, 1), "cpu_percent": window.cpu_percent,
            **_quantiles((samples.done - samples.sent)[inside]),
            "launching": launching(window.after, window.before, window.seconds),
            **({key: times[key] for key in ("compute_us", "enqueue_us")} if times else {}),
        }  # fmt: skip

    return once


def _quantiles(latencies: Any) -> dict[str, float]:
    p50, p99 = np.quantile(latencies, (0.5, 0.99)) / 1e6
    return {"p50_ms": p50, "p99_ms": p99, "requests": len(latencies)}


# -------------------------------------------------------------------------------- the C loop


class Slot(ctypes.Structure):
    """As in streams_loop.c."""

    _fields_ = (
        ("stream", ctypes.c_void_p), ("graph", ctypes.c_void_p), ("input", ctypes.c_uint64),
        ("output", ctypes.c_uint64), ("host_output", ctypes.c_void_p),
        ("input_bytes", ctypes.c_uint64), ("output_bytes", ctypes.c_uint64),
    )  # fmt: skip


def build(folder: Path) -> Any:
    """Compile the loop; the driver's library is in the process before it is loaded."""
    library = folder / "streams_loop.so"
    subprocess.run(
        ["nvcc", "-O2", "-shared", "-Xcompiler", "-fPIC", "-o", str(library), str(SOURCE)],
        check=True,
    )
    ctypes.CDLL("libcuda.so.1", mode=ctypes.RTLD_GLOBAL)
    run = ctypes.CDLL(str(library)).run
    run.restype = ctypes.c_int64
    run.argtypes = [
        ctypes.POINTER(Slot), ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.c_int,
        ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_int64), ctypes.c_int64,
    ]  # fmt: skip
    return run


def c_way(backend: Any, requests: Mapping[int, Sequence[Any]], run: Any) -> Way:
    """The same callers, opened and warmed up by the harness, driven by the C loop."""

    def once(batch: int, callers: int) -> dict[str, Any]:
        with contextlib.ExitStack() as stack:
            opened = [stack.enter_context(backend.caller()) for _ in range(callers)]
            for caller in opened:
                caller.warm(requests[batch][0])
            found = _run(run, opened, requests[batch])
            check(opened, requests[batch])
        backend.release()
        return found

    return once


def _run(run: Any, opened: Sequence[Any], requests: Sequence[Any]) -> dict[str, Any]:
    slots = (Slot * len(opened))(*map(slot_of, opened))
    (buffers,) = zip(*(r.buffers for r in requests), strict=True)
    inputs = (ctypes.c_void_p * len(buffers))(*(b.ctypes.data for b in buffers))
    latencies = np.zeros(1_000_000, np.int64)
    done = run(
        slots, len(opened), inputs, len(buffers), int(WARM_S * 1e9), int(WINDOW_S * 1e9),
        latencies.ctypes.data_as(ctypes.POINTER(ctypes.c_int64)), len(latencies),
    )  # fmt: skip
    if done <= 0:
        raise RuntimeError(f"the C loop ended with CUDA's error {-done}")
    return {"requests_s": done / WINDOW_S, **_quantiles(latencies[:done])}


def slot_of(caller: Any) -> Slot:
    """A caller's stream, buffers and captured graph, as the C loop takes them."""
    (graph,) = caller._graphs.values()
    (source,), (target,) = caller._inputs, caller._outputs
    return Slot(
        int(caller._handle), int(graph), source.address, target.address, target.view.ctypes.data,
        source.size, target.view.nbytes,
    )  # fmt: skip


def check(opened: Sequence[Any], requests: Sequence[Any]) -> None:
    """What the C loop left in a caller's output buffer is the answer to one of the inputs."""
    last = opened[0]
    left = last._outputs[0].view.copy()
    answers = []
    for request in requests:
        last.infer(request)
        answers.append(last._outputs[0].view.copy())
    if not any(np.array_equal(left, answer) for answer in answers):
        nearest = min(float(np.abs(_floats(left) - _floats(a)).max()) for a in answers)
        if not nearest < 1e-2:
            raise RuntimeError(f"the C loop's output is no answer (off by {nearest:g})")


def _floats(data: Any) -> Any:
    return data.view(np.float32)


# ---------------------------------------------------------------------------------- measuring


def measure_case(asked: Any, name: str) -> dict[str, Any]:
    settings = gpubench.on_device(CASES[name], asked.device)
    batches = BATCHES[settings["kind"]]
    model = gpubench.read_model(asked)
    backend = gpubench.open_case(model, settings, batches)
    backend.__enter__()  # never left: the process ends with the case
    cost = backend.load()
    requests = {
        batch: [backend.prepare(make_inputs(model, batch, v)) for v in range(INPUTS)]
        for batch in batches
    }
    ways = {way: harness_way(backend, requests, way) for way in ("threads", "streams")}
    if settings.get("cuda_graphs"):
        ways["c"] = c_way(backend, requests, build(Path(asked.output)))
    points = [(b, c) for b in batches for c in (CALLERS[:2] if asked.quick else CALLERS)]
    rng, end = random.Random(0), time.monotonic() + BUDGET_S
    rows: list[dict[str, Any]] = []
    for round_ in range(1 if asked.quick else ROUNDS):
        for batch, callers in rng.sample(points, len(points)):
            for way in rng.sample(list(ways), len(ways)):
                if time.monotonic() > end:
                    break
                found = ways[way](batch, callers)
                rows.append({"round": round_, "batch": batch, "callers": callers, "way": way,
                             **found})  # fmt: skip
    return {"settings": settings, "details": dict(cost.details), "rows": rows}


def main() -> None:
    asked = gpubench.options(__doc__)
    if asked.case:
        gpubench.serve({"measure": lambda: measure_case(asked, asked.case)})
    record = gpubench.Record("streams", asked)
    formats = ("torch", "onnx", "onnx_fp16") if asked.device == "cuda" else ("torch",)
    gpubench.prepare_model(asked, gpubench.RESNET50, formats, BATCHES["tensorrt"])
    for case in gpubench.chosen(asked, list(CASES)):
        record.attempt(case, gpubench.one_case(__file__, asked, case, timeout=160.0))


if __name__ == "__main__":
    main()
