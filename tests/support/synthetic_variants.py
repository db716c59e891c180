"""Run directories of made-up model configurations of one Triton backend, on a GPU or without."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from support.rows import measurement
from support.synthetic_run import _manifest

from harness.measure.quantiles import FLOORS
from harness.results.events import RunEnded
from harness.results.rows import PERCENTILES, LoadedRow, MeasurementRow
from harness.results.store import RunStore
from harness.scenario.points import Point


@dataclass(frozen=True, slots=True)
class Variant:
    """A config with its place on a plain landscape: more instances and batching serve more."""

    name: str
    instances: int = 1
    max_batch: int = 4
    dynamic: bool = False

    @property
    def speed(self) -> float:
        """Inferences a second that it can serve at most."""
        return 400.0 * self.instances**0.7 * (1.3 if self.dynamic else 1.0)

    def config(self, device: str) -> str:
        """As a server would give it back."""
        gpu = "  gpus: 0\n" if device == "GPU" else ""
        batching = "dynamic_batching {\n}\n" if self.dynamic else ""
        name = "resnet50" if self.name == "default" else f"resnet50_{self.name}"
        return (
            f'name: "{name}"\nplatform: "onnxruntime_onnx"\nmax_batch_size: {self.max_batch}\n'
            'input {\n  name: "input"\n  data_type: TYPE_FP32\n  dims: 3\n  dims: 224\n'
            f"  dims: 224\n}}\ninstance_group {{\n  count: {self.instances}\n{gpu}"
            f'  kind: KIND_{device}\n}}\n{batching}backend: "onnxruntime"\n'
        )


VARIANTS = (
    Variant("default"),
    Variant("dyn", dynamic=True),
    Variant("i2", 2),
    Variant("i2-dyn", 2, dynamic=True),
    Variant("i2-mb8-dyn", 2, 8, dynamic=True),
    Variant("i4-mb8-dyn", 4, 8, dynamic=True),
)
NAME = "triton-grpc"


def write_variants(
    path: Path, *, variants: tuple[Variant, ...] = VARIANTS, gpu: bool = True, rounds: int = 3,
    concurrency: tuple[int, ...] = (1, 4, 16), noise: float = 0.004, equal: bool = False,
    constraints: dict[str, object] | None = None,
) -> Path:  # fmt: skip
    """Write a run of every variant at every concurrency, batch 1; with `equal` all are as fast."""
    device = "cuda" if gpu else "cpu"
    scenario = {
        "scenario": "resnet50-variants", "description": "Which configuration to serve",
        "model": {"name": "resnet50"},
        "backends": [{
            "kind": "triton", "name": NAME, "protocol": "grpc", "serve": "onnxruntime",
            "device": device, "instances": [1, 2, 4], "max_batch_size": [4, 8],
            "dynamic_batching": [False, True],
        }],
        "load": {"batch_sizes": [1], "concurrency": list(concurrency)},
        "measurement": {"rounds": rounds}, "constraints": constraints or {},
        "objective": "throughput",
    }  # fmt: skip
    with RunStore.create(path, _manifest(scenario, gpu=gpu, evil=False)) as store:
        for number in range(rounds):
            shuffled = random.Random(number).sample(variants, len(variants))
            for variant in shuffled:
                rng = random.Random(f"{number}{variant.name}")
                store.append(LoadedRow(
                    NAME, number, 0.4, 12.0, 100_000_000, 300.0, 900.0 if gpu else None,
                    {"config": variant.config("GPU" if gpu else "CPU")}, variant.name,
                ))  # fmt: skip
                for callers in concurrency:
                    speed = 400.0 if equal else variant.speed
                    store.append(_measure(variant, number, callers, speed, rng, noise, gpu))
        store.append(RunEnded("complete"))
    return path


def _measure(
    variant: Variant, number: int, callers: int, speed: float, rng: random.Random, noise: float,
    gpu: bool,
) -> MeasurementRow:  # fmt: skip
    point = Point(NAME, variant.name, 1, concurrency=callers)
    rate = speed * min(1.0, 0.3 + 0.1 * callers) * rng.gauss(1, noise)
    mean = 1e3 * callers / rate
    requests = int(rate * 20)
    tails = dict(zip(PERCENTILES, (0.97, 1.1, 1.2, 1.5, 2.2), strict=True))
    latency = {
        p: mean * t * rng.gauss(1, noise) if requests >= FLOORS[p] else None
        for p, t in tails.items()
    }
    parts = {"queue": 0.3, "compute_input": 0.02, "compute_infer": 0.6, "compute_output": 0.01}
    return measurement(
        point=point.id, round=number, backend=NAME, config=variant.name, batch_size=1,
        concurrency=callers, request_rate=None, started="2026-03-04T10:12:00+00:00",
        window_begin_ns=10**12, window_end_ns=10**12 + 20 * 10**9, requests=requests, errors=0,
        throughput=rate, latency_mean_ms=mean, latency_ms=latency,
        latency_order_ms={p: (v * 0.98, v * 1.02) if v else None for p, v in latency.items()},
        server_us={k: v * mean * 1e3 for k, v in parts.items()}, server_count=requests,
        host_memory_mib=(300.0 + 120 * variant.instances) * rng.gauss(1, noise / 4),
        cpu_percent=90.0, client_cpu_percent=10.0,
        gpu_memory_mib=(700.0 + 210 * variant.instances) * rng.gauss(1, noise / 4) if gpu else None,
        gpu_memory_scope="process" if gpu else "",
        gpu_utilization_percent=min(99.0, 20.0 + 5 * callers) if gpu else None,
        gpu_power_w=250.0 + 5 * callers if gpu else None, samples="", warmup_requests=20,
        details={"memory_since": "session"},
    )  # fmt: skip
