"""How near the limit: ResNet-50 against the GPU's measured matrix rate and memory bandwidth.

    PYTHONPATH=. python benchmarks/gpu/roofline.py --output OUT      about 85 s on a GPU

The limits are measured, not read from a data sheet: products of 8192 × 8192 matrices of random
numbers in each precision, and copies of 4 GiB within device memory. Throughput is the harness's
closed loop with `io: device`. A ResNet-50 image costs what torch.utils.flop_counter counts (two
operations a multiply-add). Its least traffic is what a runtime must move that fuses batch norm,
ReLU and the addition into the convolutions and keeps nothing between kernels in a cache: inputs and
outputs of every convolution, pooling and linear layer, the shortcut read once more, and the
weights once a batch.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from typing import Any

import gpubench

from harness.load.choose import make_generator
from harness.load.plan import LoadPlan, WindowSettings
from harness.measure.reduce import in_window, throughput
from harness.measure.window import measure
from harness.models.inputs import make_inputs

CASES: dict[str, dict[str, Any]] = {
    "torch-fp16": {"kind": "torch", "device": "cuda", "precision": "fp16", "io": "device"},
    "torch-fp16-channels-last": {
        "kind": "torch", "device": "cuda", "precision": "fp16", "io": "device"},
    "tensorrt-fp16": {
        "kind": "tensorrt", "precision": "fp16", "io": "device", "profile": {"each": True}},
    "onnxruntime-fp16": {
        "kind": "onnxruntime", "provider": "CUDAExecutionProvider", "precision": "fp16",
        "io": "device"},
    "onnxruntime-fp32": {
        "kind": "onnxruntime", "provider": "CUDAExecutionProvider", "precision": "fp32",
        "io": "device"},
}  # fmt: skip
LIMITS, MODEL = "limits", "model"
BATCHES = (128, 256, 32, 8, 1)
"""In this order: what matters most first, in case the time runs out."""
BUDGET_S = 25.0
PARTS = 5
"""A window is cut into this many; each gives one value."""
SIZE = 8192
COPY_BYTES = 4 * 2**30


# ----------------------------------------------------------------------------------- the limits


def limits(asked: Any) -> dict[str, Any]:
    """Each repeat of each kernel: seconds, by CUDA events."""
    import torch

    gpu = asked.device == "cuda"
    size = 256 if asked.quick or not gpu else SIZE
    count = COPY_BYTES if gpu and not asked.quick else 2**24
    device = torch.device(asked.device)
    found: dict[str, Any] = {"size": size, "copy_bytes": count, "matmul": {}, "failures": {}}
    for name in ("fp16", "bf16", "tf32", "fp32"):
        try:
            found["matmul"][name] = _matmul(torch, device, name, size)
        except Exception as error:
            found["failures"][name] = str(error)
    source = torch.randint(0, 255, (count,), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    found["copy"] = _repeat(torch, device, lambda: target.copy_(source), each=2)
    if gpu:
        found["device_name"] = torch.cuda.get_device_name()
        found["torch"], found["cuda"] = torch.__version__, torch.version.cuda
    return found


def _matmul(torch: Any, device: Any, name: str, size: int) -> dict[str, Any]:
    torch.backends.cuda.matmul.allow_tf32 = name == "tf32"
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16}.get(name, torch.float32)
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty(size, size, device=device, dtype=dtype)
    return _repeat(
        torch, device, lambda: torch.matmul(a, b, out=out), each=1 if name == "fp32" else 5
    )


def _repeat(torch: Any, device: Any, kernel: Callable[[], Any], each: int) -> dict[str, Any]:
    """Seconds a kernel in 20 repeats of `each` kernels, after a warm-up of 0.3 s."""
    gpu = device.type == "cuda"
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        kernel()
        if gpu:
            torch.cuda.synchronize()
    seconds = []
    if not gpu:
        for _ in range(20):
            begin = time.monotonic()
            kernel()
            seconds.append(time.monotonic() - begin)
        return {"seconds": seconds}
    events = [torch.cuda.Event(enable_timing=True) for _ in range(21)]
    events[0].record()
    for event in events[1:]:
        for _ in range(each):
            kernel()
        event.record()
    state = nvml_state()  # the GPU is busy with what was just put into the queue
    torch.cuda.synchronize()
    pairs = itertools.pairwise(events)
    return {"seconds": [a.elapsed_time(b) / 1e3 / each for a, b in pairs], "state": state}


def nvml_state() -> dict[str, float]:
    """Clock, power, temperature and what holds the clock back, now."""
    from harness.telemetry.nvml import open_gpu

    gpu = open_gpu("cuda")
    return {key.quantity.value: v for key, v in gpu.state()} if gpu is not None else {}


# ------------------------------------------------------------------------------------ the model


def model_cost(_: Any) -> dict[str, Any]:
    """Operations, weights and activations of one image, counted, not run."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from harness.models.resnet import resnet50

    with torch.device("meta"):
        model, image = resnet50().eval(), torch.empty(1, 3, 224, 224)
    fused, unfused = [0], [0]
    for name, module in model.named_modules():
        if not list(module.children()):
            module.register_forward_hook(_counter(fused, unfused))
        elif name.count(".") == 1:  # a block: its shortcut is read by the addition
            module.register_forward_hook(_shortcut(fused, unfused))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(image)
    return {
        "flop": counter.get_total_flops(), "parameters": sum(p.numel() for p in model.parameters()),
        "fused_elements": fused[0], "unfused_elements": unfused[0], "torch": torch.__version__,
    }  # fmt: skip


def _counter(fused: list[int], unfused: list[int]) -> Any:
    def hook(module: Any, inputs: Any, output: Any) -> None:
        moved = sum(t.numel() for t in inputs) + output.numel()
        unfused[0] += moved
        if type(module).__name__ in ("Conv2d", "Linear", "MaxPool2d", "AdaptiveAvgPool2d"):
            fused[0] += moved

    return hook


def _shortcut(fused: list[int], unfused: list[int]) -> Any:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        if type(_module).__name__ == "Bottleneck":
            fused[0] += output.numel()
            unfused[0] += 3 * output.numel()

    return hook


# ---------------------------------------------------------------------------------- throughput


def measure_case(asked: Any, name: str) -> dict[str, Any]:
    settings = gpubench.on_device(CASES[name], asked.device)
    batches = (2, 1) if asked.quick else BATCHES
    model = gpubench.read_model(asked)
    backend = gpubench.open_case(model, settings, batches)
    backend.__enter__()  # never left: the process ends with the case
    begin = time.monotonic()
    cost = backend.load()
    rows: list[dict[str, Any]] = []
    skipped = []
    for batch in batches:
        if time.monotonic() - begin > BUDGET_S:
            skipped.append(batch)
            continue
        try:
            rows += _batch(backend, model, batch, name, asked)
        except Exception as error:
            rows.append({"batch": batch, "error": str(error)})
    return {"settings": settings, "details": dict(cost.details), "rows": rows, "skipped": skipped}


def _batch(backend: Any, model: Any, batch: int, name: str, asked: Any) -> Iterator[dict[str, Any]]:
    requests = [backend.prepare(make_inputs(model, batch, v)) for v in range(2)]
    if "channels-last" in name:
        requests = [_channels_last(backend, r) for r in requests]
    for callers in (1, 2) if batch >= 32 else (1,):
        window = WindowSettings(
            0.2, 2, *((0.1, 2, 0.5) if asked.quick else (0.5, 10, 2.5)), request_timeout=60.0
        )
        generator = make_generator(
            backend, requests, LoadPlan(concurrency=callers), request_timeout=60.0
        )
        seen, samples = measure(backend, generator, window, lambda *_: None)
        step = (seen.end_ns - seen.begin_ns) // PARTS
        edges = [seen.begin_ns + i * step for i in range(PARTS + 1)]
        yield {
            "batch": batch, "callers": callers,
            "requests": int(in_window(samples, seen.begin_ns, seen.end_ns).sum()),
            "images_s": throughput(samples, seen.begin_ns, seen.end_ns, batch),
            "images_s_parts": [
                throughput(samples, a, b, batch) for a, b in itertools.pairwise(edges)
            ],
            "state": nvml_state() if asked.device == "cuda" else {},
        }  # fmt: skip


def _channels_last(backend: Any, request: Any) -> Any:
    """The backend's module and the request, in the layout that tensor cores read."""
    import torch

    backend.model.module.to(memory_format=torch.channels_last)
    return request._replace(args=[t.to(memory_format=torch.channels_last) for t in request.args])


def main() -> None:
    asked = gpubench.options(__doc__)
    if asked.case:
        others = {LIMITS: limits, MODEL: model_cost}
        work = others.get(asked.case, lambda a: measure_case(a, a.case))
        gpubench.serve({"measure": lambda: work(asked)})
    record = gpubench.Record("roofline", asked)
    formats = ("torch", "onnx", "onnx_fp16") if asked.device == "cuda" else ("torch", "onnx")
    gpubench.prepare_model(asked, gpubench.RESNET50, formats, BATCHES[-2:])
    for case in gpubench.chosen(asked, [LIMITS, MODEL, *CASES]):
        record.attempt(case, gpubench.one_case(__file__, asked, case, timeout=80.0))


if __name__ == "__main__":
    main()
