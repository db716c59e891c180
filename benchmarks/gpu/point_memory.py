"""Does a point's memory depend on what ran before it? Alone, and in a run with 16 callers.

    PYTHONPATH=. python benchmarks/gpu/point_memory.py --output OUT      about 2 minutes a GPU
    PYTHONPATH=. python benchmarks/gpu/render.py OUT/point_memory.json

The harness itself, by `harness run`, on ResNet-50 at batch 1: one caller alone, and one caller in a
scenario whose other point has 16. A constraint asks about memory, so each point gets a session of
its own. Eager PyTorch, ONNX Runtime, TensorRT and Triton, several at a time where there are several
GPUs; with `--device cpu` the host's memory, without TensorRT. ONNX Runtime is tried with each way
in which its arena grows, and with algorithms that it does not choose by timing them; each of its
two runs several times, by turns: what differs between two equal runs is the runtime's own doing.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gpubench

from harness.results.store import read_run
from harness.system.machine import describe_machine

MODEL = {"name": "resnet50", "source": gpubench.RESNET50["source"],
         "inputs": [{"name": "input", "shape": ["batch", 3, 224, 224]}]}  # fmt: skip
MEASUREMENT = {"rounds": 1, "rounds_max": 1, "warmup": "500ms", "warmup_requests": 5,
               "window": "700ms", "window_requests": 11, "window_max": "10s",
               "load_timeout": "300s"}  # fmt: skip
LOADS = {"alone": [1], "beside": [16, 1]}
ARENA = 3
"""Runs of each load for ONNX Runtime."""


def cases(device: str, gpu: int) -> dict[str, dict[str, Any]]:
    """The backends, those on a GPU on number `gpu`, but Triton, whose server sees only that one."""
    served = {"kind": "triton", "protocol": "grpc", "serve": "onnxruntime"}
    if device == "cpu":
        return {"torch": {"kind": "torch"}, "onnxruntime": {"kind": "onnxruntime"},
                "triton": served}  # fmt: skip
    cuda = f"cuda:{gpu}"
    arena = {"kind": "onnxruntime", "provider": "CUDAExecutionProvider", "device": cuda}
    return {
        "torch": {"kind": "torch", "device": cuda},
        "tensorrt": {"kind": "tensorrt", "device": cuda},
        "onnxruntime": arena,
        "onnxruntime-same-as-requested": {**arena, "arena_extend_strategy": "kSameAsRequested"},
        "onnxruntime-heuristic": {**arena, "cudnn_conv_algo_search": "HEURISTIC"},
        "triton": {**served, "device": cuda},
    }  # fmt: skip


def measure(asked: argparse.Namespace, name: str, gpu: int) -> dict[str, Any]:
    """MiB of the point with one caller, by what else the scenario measured."""
    metric = "gpu_memory_mib" if asked.device == "cuda" else "host_memory_mib"
    found: dict[str, Any] = {"metric": metric, "backend": cases(asked.device, gpu)[name]}
    times = ARENA if name.startswith("onnxruntime") and asked.device == "cuda" else 1
    for n, (what, callers) in itertools.product(range(times), LOADS.items()):
        folder = asked.output / f"point-memory-{name}-{what}-{n}"
        scenario = {
            "scenario": folder.name, "model": MODEL,
            "backends": [{**found["backend"], "name": name}],
            "load": {"batch_sizes": 1, "concurrency": callers},
            "measurement": MEASUREMENT,
            "constraints": {metric: {"max": 1_000_000}},
        }  # fmt: skip
        path = folder.with_suffix(".yaml")
        path.write_text(json.dumps(scenario))
        command = ["-m", "harness", "run", str(path), "--output", str(folder), "--quiet"]
        ended = subprocess.run(
            [sys.executable, *command], env={**os.environ, "PYTHONPATH": str(gpubench.ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        rows = read_run(folder).measurements if folder.is_dir() else []
        seen = [getattr(m, metric) for m in rows if m.concurrency == 1]
        if not seen or None in seen:
            raise RuntimeError(f"{what}: {ended.stderr.strip() or ended.stdout.strip()}")
        found[what] = [*found.get(what, []), *seen]
        flags = {flag for m in rows for flag in m.flags}
        found[f"{what} flags"] = sorted(flags.union(found.get(f"{what} flags", ())))
    return found


def main() -> None:
    asked = gpubench.options(__doc__)
    record = gpubench.Record("point_memory", asked)
    gpus = max(1, len(describe_machine()["gpus"])) if asked.device == "cuda" else 1
    names = gpubench.chosen(asked, list(cases(asked.device, 0)))
    with ThreadPoolExecutor(gpus) as pool:
        begun = {
            name: pool.submit(measure, asked, name, place % gpus)
            for place, name in enumerate(names)
        }
        for name, future in begun.items():
            record.attempt(name, future.result)


if __name__ == "__main__":
    main()
