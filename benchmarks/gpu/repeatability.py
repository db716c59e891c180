"""Does TensorRT give the same answer twice? Without the harness in the way.

    PYTHONPATH=. python benchmarks/gpu/repeatability.py --output OUT [--python OTHER/bin/python]

The engine is built from ResNet-50's ONNX file here, for batch 1, and run by `execute_async_v3` on
PyTorch's stream, with PyTorch's buffers, and a synchronisation after every call. Eight inputs take
turns; the answer to compare with is that of a call 0.3 s after the one before. A call is wrong when
a value is further from it than 3 % of the outputs' root mean square, the harness's tolerance for
tf32. Each case is a process of its own; `--python` repeats the first with another TensorRT.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gpubench
import numpy as np

CASES: dict[str, dict[str, str]] = {
    "back to back": {},
    "CUDA_LAUNCH_BLOCKING=1": {"CUDA_LAUNCH_BLOCKING": "1"},
    "10 ms between calls": {"PAUSE": "0.01"},
    "kernels compiled eagerly": {"EAGER": "1"},
    "NVIDIA_TF32_OVERRIDE=0": {"NVIDIA_TF32_OVERRIDE": "0"},
}
CALLS, INPUTS, TOLERANCE = 400, 8, 0.03
SHAPE = (1, 3, 224, 224)


def build(onnx: str) -> tuple[Any, Any]:
    """TensorRT's module, and an engine for batch 1."""
    try:
        import tensorrt_rtx as trt
    except ModuleNotFoundError:
        import tensorrt as trt
    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    if not parser.parse_from_file(onnx):
        raise SystemExit(str(parser.get_error(0)))
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    profile.set_shape(network.get_input(0).name, SHAPE, SHAPE, SHAPE)
    config.add_optimization_profile(profile)
    data = builder.build_serialized_network(network, config)
    return trt, trt.Runtime(logger).deserialize_cuda_engine(data)


def run(onnx: str) -> dict[str, Any]:
    """Build, call, compare."""
    import torch

    trt, engine = build(onnx)
    if os.environ.get("EAGER"):
        config = engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = (
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        )
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    source, target = (engine.get_tensor_name(i) for i in range(2))
    torch.manual_seed(0)
    inputs = [torch.rand(*SHAPE, device="cuda") for _ in range(INPUTS)]
    output = torch.empty(1, 1000, device="cuda")
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    context.set_input_shape(source, SHAPE)
    context.set_tensor_address(target, output.data_ptr())
    torch.cuda.synchronize()

    def call(tensor: Any) -> np.ndarray[Any, Any]:
        context.set_tensor_address(source, tensor.data_ptr())
        context.execute_async_v3(stream.cuda_stream)
        stream.synchronize()
        return np.array(output.cpu().numpy())

    expected = []
    for tensor in inputs:
        call(tensor)
        time.sleep(0.3)
        expected.append(call(tensor))
    scale = float(np.sqrt(np.mean(np.stack(expected) ** 2)))
    pause, errors = float(os.environ.get("PAUSE", "0")), []
    for i in range(CALLS):
        time.sleep(pause)
        errors.append(float(np.abs(call(inputs[i % INPUTS]) - expected[i % INPUTS]).max()) / scale)
    wrong = sum(error > TOLERANCE for error in errors)
    return {"tensorrt": trt.__version__, "calls": CALLS, "wrong": wrong, "worst": max(errors)}


def main() -> None:
    if os.environ.get("ONNX"):
        print(json.dumps(run(os.environ["ONNX"])))
        return
    others = [sys.argv.pop(i + 1) for i, a in enumerate(sys.argv) if a == "--python"]
    sys.argv = [a for a in sys.argv if a != "--python"]
    asked = gpubench.options(__doc__)
    record = gpubench.Record("repeatability", asked)
    gpubench.prepare_model(asked, gpubench.RESNET50, ("torch", "onnx"), (1,))
    onnx = str(gpubench.read_model(asked).file("onnx"))
    jobs = [(sys.executable, name) for name in CASES] + [(p, next(iter(CASES))) for p in others]
    for python, name in jobs:
        title = name if python == sys.executable else f"{name}, {Path(python).parents[1].name}"
        record.attempt(title, lambda python=python, name=name: _child(python, name, onnx))  # type: ignore[misc]


def _child(python: str, name: str, onnx: str) -> dict[str, Any]:
    env = {**os.environ, **CASES[name], "ONNX": onnx}
    done = subprocess.run(
        [python, __file__], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise gpubench.ChildError(done.stderr.strip()[-300:])
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main()
