"""The harness's own cost: its latency against a loop written by hand, in the same process.

    PYTHONPATH=. python benchmarks/gpu/overhead.py --output OUT      about 80 s on a GPU

Both sides share the loaded model (module, session or engine), so that what differs is the harness
alone; each has a stream, buffers and, for TensorRT, an execution context of its own. The loops by
hand do the same copies and synchronise the same way, and enter torch's contexts and allocate their
output buffer once, outside the loop: less than the harness does for each request.

They are compared in two ways. *Call by call*: one call of each in turn, in random order, in one
thread, so that whatever disturbs the machine disturbs both alike; the harness's call is what its
loop times, `caller.infer` between two readings of the clock. *In blocks*, in shuffled order: a
block of the harness is what a measurement is, `measure` with the closed loop at concurrency 1,
callers opened anew, a warm-up that is left out; slower changes of the machine are in it.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import gpubench
import numpy as np

from harness.backends.base import run_once
from harness.load.choose import make_generator
from harness.load.plan import LoadPlan, WindowSettings
from harness.measure.reduce import in_window
from harness.measure.window import measure
from harness.models.inputs import make_inputs
from harness.models.tensors import PreparedModel

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "torch-fp32": ({"kind": "torch", "device": "cuda", "precision": "fp32"}, 50),
    "onnxruntime-fp32": (
        {"kind": "onnxruntime", "provider": "CUDAExecutionProvider", "precision": "fp32"}, 80),
    "tensorrt-fp32": ({"kind": "tensorrt", "precision": "fp32"}, 150),
    "tensorrt-fp16": ({"kind": "tensorrt", "precision": "fp16"}, 150),
    "tensorrt-fp16-graphs": ({"kind": "tensorrt", "precision": "fp16", "cuda_graphs": True}, 150),
}  # fmt: skip
"""Backend settings, and calls a block."""
NULL = "null"
PAIRS, FEWEST_PAIRS, BUDGET_S = 20, 6, 8.0
TURNS, TURNS_A_BLOCK, TURNS_BUDGET_S = 60, 40, 14.0
"""Blocks of turns, one call of each side a turn; a block gives one ratio of medians."""
WARM = 20
INPUTS = 8


class Block(NamedTuple):
    """One block: nanoseconds of each call, and of everything divided by the calls."""

    calls: np.ndarray[Any, Any]
    spacing_ns: float
    median_spacing_ns: float | None = None

    def to_json(self) -> dict[str, float]:
        quantiles = np.quantile(self.calls, (0.5, 0.9, 0.99))
        return {
            "calls": len(self.calls), "median_ns": quantiles[0], "p90_ns": quantiles[1],
            "p99_ns": quantiles[2], "mean_ns": self.calls.mean(), "spacing_ns": self.spacing_ns,
            **({"median_spacing_ns": self.median_spacing_ns} if self.median_spacing_ns else {}),
        }  # fmt: skip


Loop = Callable[[int], Block]


class ByHand(NamedTuple):
    """A loop written by hand, and one call of it."""

    block: Loop
    output: Callable[[], Any]
    """What the last call gave."""
    one: Callable[[int], object]
    scope: Callable[[], contextlib.AbstractContextManager[object]]
    """Entered around each call of `one`, outside the clock."""


# -------------------------------------------------------------------------------- the harness


def harness_loop(backend: Any, requests: Sequence[Any]) -> Loop:
    def block(count: int) -> Block:
        generator = make_generator(backend, requests, LoadPlan(concurrency=1), request_timeout=30.0)
        settings = WindowSettings(0.0, WARM, 0.0, count, 60.0, 30.0)
        window, samples = measure(backend, generator, settings, lambda *_: None)
        inside = in_window(samples, window.begin_ns, window.end_ns)
        done = samples.done[inside]
        return Block((samples.done - samples.sent)[inside],
                     float(done[-1] - done[0]) / (len(done) - 1),
                     float(np.median(np.diff(done))))  # fmt: skip

    return block


# ----------------------------------------------------------------------------------- by hand


def torch_loop(backend: Any, inputs: Sequence[np.ndarray[Any, Any]]) -> ByHand:
    import torch

    module = backend.model.module
    parameter = next(module.parameters())
    device, dtype = parameter.device, parameter.dtype
    clock = time.monotonic_ns
    if device.type == "cpu":
        tensors = [torch.from_numpy(a).to(dtype) for a in inputs]

        def on_cpu(count: int) -> Block:
            times = []
            with torch.inference_mode():
                start = clock()
                for i in range(count):
                    begin = clock()
                    last[0] = module(tensors[i % INPUTS])
                    times.append(clock() - begin)
                return Block(np.array(times), (clock() - start) / count)

        def one_on_cpu(i: int) -> None:
            last[0] = module(tensors[i % INPUTS])

        last: list[Any] = [None]
        return ByHand(on_cpu, lambda: last[0].float().numpy(), one_on_cpu, torch.inference_mode)
    pinned = [torch.from_numpy(a).to(dtype).pin_memory() for a in inputs]
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    host = torch.empty((1, 1000), dtype=dtype, pin_memory=True)

    def on_gpu(count: int) -> Block:
        times = []
        with torch.inference_mode(), torch.cuda.stream(stream):
            start = clock()
            for i in range(count):
                begin = clock()
                host.copy_(
                    module(pinned[i % INPUTS].to(device, non_blocking=True)), non_blocking=True
                )
                stream.synchronize()
                times.append(clock() - begin)
            return Block(np.array(times), (clock() - start) / count)

    def one(i: int) -> None:
        host.copy_(module(pinned[i % INPUTS].to(device, non_blocking=True)), non_blocking=True)
        stream.synchronize()

    @contextlib.contextmanager
    def scope() -> Iterator[None]:
        with torch.inference_mode(), torch.cuda.stream(stream):
            yield

    return ByHand(on_gpu, lambda: host.float().numpy(), one, scope)


def onnxruntime_loop(backend: Any, inputs: Sequence[np.ndarray[Any, Any]]) -> ByHand:
    session = backend.session
    name, half = session.get_inputs()[0].name, "16" in session.get_inputs()[0].type
    feeds = [{name: a.astype(np.float16 if half else np.float32)} for a in inputs]
    outputs = [o.name for o in session.get_outputs()]
    clock, last = time.monotonic_ns, [None]

    def block(count: int) -> Block:
        times = []
        start = clock()
        for i in range(count):
            begin = clock()
            last[0] = session.run(outputs, feeds[i % INPUTS])
            times.append(clock() - begin)
        return Block(np.array(times), (clock() - start) / count)

    def one(i: int) -> None:
        last[0] = session.run(outputs, feeds[i % INPUTS])

    return ByHand(
        block, lambda: np.asarray(last[0][0], np.float32), one,  # type: ignore[index]
        contextlib.nullcontext,
    )  # fmt: skip


def tensorrt_loop(backend: Any, inputs: Sequence[np.ndarray[Any, Any]]) -> ByHand:
    from pycuda import driver

    engine, config = backend.loaded.engine, backend.loaded.runtime_config
    context = (
        engine.create_execution_context() if config is None
        else engine.create_execution_context(config)
    )  # fmt: skip
    types = {"FLOAT": np.float32, "HALF": np.float16}
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    modes = {n: engine.get_tensor_mode(n).name for n in names}
    source = next(n for n in names if modes[n] == "INPUT")
    target = next(n for n in names if modes[n] == "OUTPUT")
    context.set_input_shape(source, inputs[0].shape)
    shape = tuple(context.get_tensor_shape(target))
    kinds = {n: types[engine.get_tensor_dtype(n).name] for n in names}
    pinned = [driver.pagelocked_empty(a.size, kinds[source]) for a in inputs]
    for buffer, array in zip(pinned, inputs, strict=True):
        buffer[:] = array.reshape(-1)
    host = driver.pagelocked_empty(math.prod(shape), kinds[target])
    device_in, device_out = driver.mem_alloc(pinned[0].nbytes), driver.mem_alloc(host.nbytes)
    context.set_tensor_address(source, int(device_in))
    context.set_tensor_address(target, int(device_out))
    stream = driver.Stream(1)  # non-blocking
    handle, clock = int(stream.handle), time.monotonic_ns
    compute: Callable[[], object] = partial(context.execute_async_v3, handle)
    if backend.spec.cuda_graphs:
        compute = replay(compute, handle)

    def block(count: int) -> Block:
        times = []
        start = clock()
        for i in range(count):
            begin = clock()
            driver.memcpy_htod_async(device_in, pinned[i % INPUTS], stream)
            compute()
            driver.memcpy_dtoh_async(host, device_out, stream)
            stream.synchronize()
            times.append(clock() - begin)
        return Block(np.array(times), (clock() - start) / count)

    def one(i: int) -> None:
        driver.memcpy_htod_async(device_in, pinned[i % INPUTS], stream)
        compute()
        driver.memcpy_dtoh_async(host, device_out, stream)
        stream.synchronize()

    return ByHand(
        block, lambda: host.astype(np.float32).reshape(shape), one, contextlib.nullcontext
    )


def replay(enqueue: Callable[[], object], stream: int) -> Callable[[], object]:
    """Launches a CUDA graph of what `enqueue` puts on the stream."""
    from cuda.bindings import runtime

    def done(result: tuple[Any, ...]) -> Any:
        assert result[0] == runtime.cudaError_t.cudaSuccess, result[0]
        return result[1] if len(result) > 1 else None

    enqueue()  # once without: TensorRT-RTX compiles its kernels
    done(runtime.cudaStreamSynchronize(stream))
    mode = runtime.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
    done(runtime.cudaStreamBeginCapture(stream, mode))
    enqueue()
    graph = done(runtime.cudaGraphInstantiate(done(runtime.cudaStreamEndCapture(stream)), 0))

    def launch(_alive: object = enqueue) -> None:  # the graph uses the memory of its context
        runtime.cudaGraphLaunch(graph, stream)

    return launch


BY_HAND = {"torch": torch_loop, "onnxruntime": onnxruntime_loop, "tensorrt": tensorrt_loop}


# ---------------------------------------------------------------------------------- measuring


def measure_case(asked: Any, name: str) -> dict[str, Any]:
    settings, calls = CASES[name]
    settings = gpubench.on_device(settings, asked.device)
    if asked.quick:
        calls = 5
    model = gpubench.read_model(asked)
    backend = gpubench.open_case(model, settings, (1,))
    backend.__enter__()  # never left: the process ends with the case
    cost = backend.load()
    arrays = [make_inputs(model, 1, v) for v in range(INPUTS)]
    requests = [backend.prepare(a) for a in arrays]
    by_hand = BY_HAND[settings["kind"]](backend, [a["input"] for a in arrays])
    by_hand.block(1)  # its last input is the first
    expected = run_once(backend, arrays[0])
    difference = float(np.abs(by_hand.output() - next(iter(expected.values()))).max())
    turns = take_turns(backend, requests, by_hand, 2 if asked.quick else TURNS)
    sides: dict[str, Loop] = {"harness": harness_loop(backend, requests), "by_hand": by_hand.block}
    pairs = interleave(sides, calls, 2 if asked.quick else PAIRS, {"by_hand": WARM})
    return {
        "settings": settings, "calls": calls, "pairs": pairs, "max_difference": difference,
        "turns_a_block": TURNS_A_BLOCK, "turns": turns,
        "details": dict(cost.details),
    }  # fmt: skip


def take_turns(
    backend: Any, requests: Sequence[Any], by_hand: ByHand, wanted: int
) -> list[dict[str, float]]:
    """Medians of blocks in which the sides take turns, call by call, the first drawn each time."""
    rng, clock = random.Random(1), time.monotonic_ns
    found: list[dict[str, float]] = []
    with backend.caller() as caller:
        infer, one = caller.infer, by_hand.one
        for i in range(WARM):
            infer(requests[i % INPUTS])
            with by_hand.scope():
                one(i)
        end = time.monotonic() + TURNS_BUDGET_S
        while len(found) < wanted and (len(found) < FEWEST_PAIRS or time.monotonic() < end):
            times: dict[str, list[int]] = {"harness": [], "by_hand": []}
            for i in range(TURNS_A_BLOCK):
                request = requests[i % INPUTS]
                for side in rng.sample(("harness", "by_hand"), 2):
                    if side == "harness":
                        begin = clock()
                        infer(request)
                        times[side].append(clock() - begin)
                    else:
                        with by_hand.scope():  # anew: the harness may leave its stream current
                            begin = clock()
                            one(i)
                            times[side].append(clock() - begin)
            found.append({f"{s}_median_ns": float(np.median(t)) for s, t in times.items()})
    return found


def interleave(
    sides: dict[str, Loop], calls: int, wanted: int, warm: dict[str, int]
) -> list[dict[str, Any]]:
    """Pairs of blocks, the order within a pair shuffled; fewer than wanted when time is over."""
    rng = random.Random(0)
    for loop in sides.values():
        loop(calls)
    end = time.monotonic() + BUDGET_S
    pairs: list[dict[str, Any]] = []
    while len(pairs) < wanted and (len(pairs) < FEWEST_PAIRS or time.monotonic() < end):
        order = rng.sample(list(sides), len(sides))
        pair: dict[str, Any] = {"order": order}
        for side in order:
            if warm.get(side):
                sides[side](min(calls, warm[side]))
            pair[side] = sides[side](calls).to_json()
        pairs.append(pair)
    return pairs


def measure_null(asked: Any) -> dict[str, Any]:
    """A backend that answers at once: what remains is the timed loop."""
    model = PreparedModel("null", {"fake": {}}, "", (), ())
    backend = gpubench.open_case(model, {"kind": "fake", "service_time_ms": 0.0}, (1,))
    requests = [backend.prepare({}) for _ in range(INPUTS)]
    clock = time.monotonic_ns

    def by_hand(count: int) -> Block:
        times = []
        with backend.caller() as caller:
            infer = caller.infer
            start = clock()
            for i in range(count):
                begin = clock()
                infer(requests[i % INPUTS])
                times.append(clock() - begin)
            return Block(np.array(times), (clock() - start) / count)

    sides: dict[str, Loop] = {"harness": harness_loop(backend, requests), "by_hand": by_hand}
    count = 20_000 if asked.quick else 100_000
    return {"calls": count, "pairs": interleave(sides, count, 2 if asked.quick else PAIRS, {})}


def main() -> None:
    asked = gpubench.options(__doc__)
    if asked.case:
        work = measure_null if asked.case == NULL else lambda a: measure_case(a, a.case)
        gpubench.serve({"measure": lambda: work(asked)})
    record = gpubench.Record("overhead", asked)
    formats = ("torch", "onnx", "onnx_fp16") if asked.device == "cuda" else ("torch", "onnx")
    gpubench.prepare_model(asked, gpubench.RESNET50, formats, (1,))
    for case in gpubench.chosen(asked, [NULL, *CASES]):
        record.attempt(case, gpubench.one_case(__file__, asked, case, timeout=90.0))


if __name__ == "__main__":
    main()
