"""What telemetry costs: throughput with the sampler watching against without it.

    PYTHONPATH=. python benchmarks/gpu/telemetry_cost.py --output OUT      about 80 s on a GPU

The model runs in a child process, as in a run; with sampling on, the real sampler is a process of
its own that reads the child's process tree and the GPU through NVML at its real rates (200 and
20 Hz), and with sampling off there is no such process. Pairs of blocks, on and off in shuffled
order; a block is one measurement of the closed loop with one caller at batch 1, where a request is
shortest and anything that holds up a kernel's launch shows most.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import gpubench
import numpy as np

from harness.load.choose import make_generator
from harness.load.plan import LoadPlan
from harness.measure.reduce import in_window, throughput
from harness.measure.window import WindowSettings, measure
from harness.models.inputs import make_inputs
from harness.results.series import Quantity, Readings, SeriesKey
from harness.telemetry.client import Telemetry

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet50-torch-fp16": (
        "resnet50", {"kind": "torch", "device": "cuda", "precision": "fp16"}),
    "resnet50-tensorrt-fp16": ("resnet50", {"kind": "tensorrt", "precision": "fp16"}),
    "small-torch-fp16": ("small-mlp", {"kind": "torch", "device": "cuda", "precision": "fp16"}),
}  # fmt: skip
PAIRS, FEWEST_PAIRS, BUDGET_S = 14, 4, 26.0
WARM_S, BLOCK_S = 0.15, 0.5


def child(asked: Any) -> None:
    name, settings = CASES[asked.case]
    settings = gpubench.on_device(settings, asked.device)
    loaded: list[Any] = []

    def load() -> dict[str, Any]:
        model = gpubench.read_model(asked, name)
        backend = gpubench.open_case(model, settings, (1,))
        backend.__enter__()
        cost = backend.load()
        requests = [backend.prepare(make_inputs(model, 1, v)) for v in range(8)]
        loaded.extend([backend, requests])
        return {"details": dict(cost.details), "settings": settings}

    def block(seconds: float) -> dict[str, Any]:
        backend, requests = loaded
        generator = make_generator(backend, requests, LoadPlan(concurrency=1), request_timeout=30.0)
        wanted = WindowSettings(WARM_S, 3, seconds, 3, 10.0, 30.0)
        window, samples = measure(backend, generator, wanted, lambda *_: None)
        inside = in_window(samples, window.begin_ns, window.end_ns)
        latency = (samples.done - samples.sent)[inside]
        return {
            "throughput": throughput(samples, window.begin_ns, window.end_ns, 1),
            "median_ns": np.median(latency), "p99_ns": np.quantile(latency, 0.99),
            "requests": len(latency), "begin_ns": window.begin_ns, "end_ns": window.end_ns,
        }  # fmt: skip

    gpubench.serve({"load": load, "block": block})


def measure_case(asked: Any, case: str) -> Callable[[], dict[str, Any]]:
    def work() -> dict[str, Any]:
        seconds = 0.2 if asked.quick else BLOCK_S
        with gpubench.Child(__file__, asked, case) as process:
            loaded = process.ask("load")
            process.ask("block", seconds=0.5)
            pairs = list(_pairs(asked, process, seconds))
        return {**loaded, "pairs": pairs}

    return work


def _pairs(asked: Any, process: gpubench.Child, seconds: float) -> Any:
    rng = random.Random(0)
    end = time.monotonic() + BUDGET_S
    for done in range(3 if asked.quick else PAIRS):
        if done >= FEWEST_PAIRS and time.monotonic() > end:
            return
        order = rng.sample(["on", "off"], 2)
        blocks = {"on": _on, "off": _off}
        yield {"order": order, **{side: blocks[side](asked, process, seconds) for side in order}}


def _off(_: Any, process: gpubench.Child, seconds: float) -> dict[str, Any]:
    time.sleep(0.1)
    return process.ask("block", seconds=seconds)


def _on(asked: Any, process: gpubench.Child, seconds: float) -> dict[str, Any]:
    log = asked.output / "telemetry-sampler.log"
    with Telemetry(asked.output / ".raw-telemetry", log) as telemetry:
        telemetry.watch([process.root], "cuda" if asked.device == "cuda" else None)
        time.sleep(0.1)
        answer = process.ask("block", seconds=seconds)
        series = telemetry.read()
    return {**answer, "sampler": sampler_facts(series, answer), "problem": telemetry.problem}


def sampler_facts(series: Readings, block: dict[str, Any]) -> dict[str, Any]:
    """Readings a second of each kind, and the sampler's own share of a core."""
    begin, end = block["begin_ns"], block["end_ns"]
    length = (end - begin) / 1e9
    shown = (
        Quantity.HOST_BYTES, Quantity.DEVICE_BYTES, Quantity.PROCESS_BYTES, Quantity.POWER_W,
    )  # fmt: skip
    rates = {
        str(key): s.within(begin, end).t_ns.size / length
        for key, s in series.items()
        if key.quantity in shown
    }
    sampler = series.get(SeriesKey(Quantity.SAMPLER_CPU_S))
    return {"rates": rates, "cpu_share": sampler.rate(begin, end) if sampler else None}


def main() -> None:
    asked = gpubench.options(__doc__)
    if asked.case:
        child(asked)
    record = gpubench.Record("telemetry", asked)
    formats = ("torch", "onnx_fp16", "onnx") if asked.device == "cuda" else ("torch",)
    gpubench.prepare_model(asked, gpubench.RESNET50, formats, (1,))
    gpubench.prepare_model(asked, gpubench.SMALL, ("torch",), (1,))
    for case in gpubench.chosen(asked, list(CASES)):
        record.attempt(case, measure_case(asked, case))


if __name__ == "__main__":
    main()
