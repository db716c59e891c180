"""Run directories with made-up but plausible numbers, written through RunStore like real ones.

`write_run` writes a sweep; its arguments make it a run on a GPU, one that was interrupted, one in
which everything failed, or one whose texts try to break out of HTML, JSON and mathtext.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from support.rows import measurement

from harness.measure.quantiles import FLOORS
from harness.results.details import LoadedDetails
from harness.results.events import RunEnded
from harness.results.rows import ArtifactRow, FailureRow, LoadedRow, MeasurementRow, ParityRow
from harness.results.store import RunStore
from harness.scenario.points import Point

EVIL = "</script><script>window.pwned=1</script><img src=x onerror='window.pwned=1'>$\\frac{&"
"""Breaks out of a script element, an attribute and mathtext wherever it is not escaped."""


@dataclass(frozen=True, slots=True)
class Synthetic:
    """A made-up backend: one request takes `fixed_ms` + `item_ms` × batch on one of two cores."""

    name: str
    kind: str
    fixed_ms: float
    item_ms: float
    precision: str = "fp32"
    protocol: str | None = None
    memory_mib: float = 400.0
    speed: float = 1.0
    """Factor on the time that rounds and noise are added to."""


VERSIONS: dict[str, LoadedDetails] = {
    "onnxruntime": {"onnxruntime": "1.24.1"},
    "triton": {"server": "triton", "server_version": "2.51.0"},
    "tensorrt": {"flavor": "tensorrt-rtx", "tensorrt": "1.6.1.120"},
}
"""What a backend says when it has loaded, by kind."""
CPU_BACKENDS = (
    Synthetic("torch-cpu-fp32", "torch", 8, 34, memory_mib=690),
    Synthetic("onnxruntime-cpu-fp32", "onnxruntime", 3, 21, memory_mib=415),
    Synthetic("triton-http-onnxruntime", "triton", 6, 23, protocol="http", memory_mib=520),
    Synthetic("triton-grpc-onnxruntime", "triton", 5.6, 23, protocol="grpc", memory_mib=530),
)
GPU_BACKENDS = (
    Synthetic("torch-cuda-fp32", "torch", 5.1, 0.35, memory_mib=1830),
    Synthetic("torch-cuda-fp16", "torch", 5.0, 0.16, precision="fp16", memory_mib=1420),
    Synthetic("onnxruntime-cuda-fp32", "onnxruntime", 1.9, 0.31, memory_mib=1260),
    Synthetic("triton-grpc-onnxruntime", "triton", 2.3, 0.32, protocol="grpc", memory_mib=1390),
)


def write_run(
    path: Path,
    *,
    backends: Iterable[Synthetic] | None = None,
    batch_sizes: tuple[int, ...] = (1, 4),
    concurrency: tuple[int, ...] = (1, 2, 4),
    rounds: int = 3,
    noise: float = 0.012,
    window_s: float = 25.0,
    gpu: bool = False,
    failures: bool = True,
    evil: bool = False,
    complete: bool = True,
    constraints: dict[str, Any] | None = None,
    objective: str = "throughput",
    seed: int = 7,
) -> Path:
    """Write a run directory at `path` and return it.

    With `failures`, one point dies in every round, one hangs in the last, one backend disagrees
    with the reference and is not timed, and one is flagged. With `complete` false the last round
    is missing and the journal ends in half a line, as after `kill -9`.
    """
    chosen = list(backends or (GPU_BACKENDS if gpu else CPU_BACKENDS))
    if evil:
        chosen[1] = replace(chosen[1], name="<b>$x_1$&amp;evil</b>".replace("/", "∕"))
    load = {"batch_sizes": list(batch_sizes), "concurrency": list(concurrency)}
    measurement = {
        "profile": "standard", "rounds": rounds, "warmup": "2s", "warmup_requests": 20,
        "window": f"{window_s:g}s", "window_requests": 662, "window_max": "60s",
        "request_timeout": "30s", "load_timeout": "180s", "distinct_inputs": 8, "seed": 0,
    }  # fmt: skip
    scenario = {
        "scenario": "resnet50-backends",
        "description": EVIL if evil else "ResNet-50 at 224×224, eager PyTorch against ONNX Runtime",
        "model": {"name": "resnet50", "source": {"torch": "harness.models.resnet:resnet50"}},
        "backends": [_spec(b, gpu) for b in chosen],
        "load": load,
        "measurement": measurement,
        "constraints": constraints or {},
        "objective": objective,
    }
    with RunStore.create(path, _manifest(scenario, gpu=gpu, evil=evil)) as store:
        _prepare(store, chosen, batch_sizes, evil=evil, failures=failures)
        done = rounds if complete else rounds - 1
        for number in range(done):
            for backend in chosen:
                _round(
                    store, backend, number, batch_sizes, concurrency,
                    random.Random(f"{seed}{number}{backend.name}"), noise=noise, window_s=window_s,
                    gpu=gpu, last=number == done - 1, failures=failures, evil=evil,
                )  # fmt: skip
        if complete:
            store.append(RunEnded("complete"))
    if not complete:
        with (path / "journal.jsonl").open("a") as journal:
            journal.write('{"event": "measurement", "point": "torch')
    return path


def write_all_failed(path: Path) -> Path:
    """A run in which no point could be measured: each with its reason."""
    scenario = {
        "scenario": "broken", "model": {"name": "m"},
        "backends": [{"kind": "fake", "name": "fake"}],
        "load": {"batch_sizes": [1], "concurrency": [1, 2]}, "measurement": {"rounds": 2},
    }  # fmt: skip
    with RunStore.create(path, _manifest(scenario, gpu=False, evil=False)) as store:
        for number in range(2):
            for reason, load in (("died", "c1"), ("out_of_memory", "c2")):
                store.append(
                    FailureRow(f"fake/b1/{load}", number, "fake", reason, f"it {reason}", None, "")
                )
        store.append(RunEnded("complete"))
    return path


def write_bare(path: Path) -> Path:
    """The least a run directory can be: an empty manifest, no journal."""
    RunStore.create(path, {}).close()
    (path / "journal.jsonl").unlink()
    return path


def _spec(backend: Synthetic, gpu: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"kind": backend.kind, "name": backend.name, "io": "host"}
    device = "cuda" if gpu else "cpu"
    if backend.kind == "triton":
        spec |= {
            "protocol": backend.protocol, "serve": "onnxruntime", "instances": 2,
            "max_batch_size": None, "dynamic_batching": False, "device": device,
        }  # fmt: skip
    elif backend.kind == "onnxruntime":
        spec |= {"provider": "CUDAExecutionProvider" if gpu else "CPUExecutionProvider"}
    else:
        spec |= {"device": device}
    return spec | {"precision": backend.precision}


def _manifest(scenario: dict[str, Any], *, gpu: bool, evil: bool) -> dict[str, Any]:
    gpus = [{
        "index": 0, "name": "NVIDIA H100 80GB HBM3", "memory_mib": 81559.0,
        "uuid": "GPU-5d2b7c1e-0f4a-4d0e-9a53-2f1c6b9d8e70", "driver": "570.86.15", "cuda": "12.8",
    }]  # fmt: skip
    lines = "scenario: resnet50-backends\nmodel:\n  name: resnet50\n"
    return {
        "harness_version": "0.1.0", "created": "2026-03-04T10:11:12+00:00",
        "scenario_text": lines + (f"description: {EVIL}\n" if evil else ""),
        "scenario_path": "scenarios/resnet50.yaml", "scenario": scenario,
        "command": "harness run scenarios/resnet50.yaml",
        "seeds": {"weights": 0, "inputs": 0, "order": 0},
        "git": {"commit": "0123456789abcdef0123456789abcdef01234567", "dirty": True},
        "machine": {
            "hostname": "bench-1", "os": "Debian GNU/Linux 12", "kernel": "6.1.0",
            "python": "3.11.9",
            "cpu": {"model": "AMD EPYC 9B14", "cores": 2, "threads": 2}, "memory_mib": 7964.0,
            "gpus": gpus if gpu else [],
        },
        "packages": {"torch": "2.13.0", "onnxruntime": "1.24.1", "numpy": "2.4.0"},
    }  # fmt: skip


def _prepare(
    store: RunStore, backends: list[Synthetic], batches: tuple[int, ...], *, evil: bool,
    failures: bool,
) -> None:  # fmt: skip
    store.append(ArtifactRow("state_dict", "cache/ab/state_dict.pt", 102_546_000, 1.9, False))
    store.append(ArtifactRow(
        "onnx", "cache/ab/model.onnx", 102_174_310, 14.2, False,
        {
            "exporter": "legacy", "opset": 18,
            "fallback_reason": EVIL if evil else "torch.export: op not known",
        },
    ))  # fmt: skip
    for backend in backends:
        for batch in batches:
            store.append(ParityRow(
                backend.name, batch, "agrees", "eager PyTorch fp32 on the CPU", 3,
                3.1e-6 * batch, 4.0e-7, 2.2e-5, "|a−b| ≤ 1e-3 + 1e-3·|b|", 1.0,
            ))  # fmt: skip
    if failures:
        store.append(ParityRow(
            "onnxruntime-fp16", batches[0], "disagrees", "eager PyTorch fp32 on the CPU", 3,
            0.41, 0.07, 3.2, "|a−b| ≤ 1e-2 + 1e-2·|b|", 0.62, "outputs differ by up to 0.41",
        ))  # fmt: skip


def _round(
    store: RunStore, backend: Synthetic, number: int, batches: tuple[int, ...],
    concurrency: tuple[int, ...], rng: random.Random, *, noise: float, window_s: float, gpu: bool,
    last: bool, failures: bool, evil: bool,
) -> None:  # fmt: skip
    store.append(LoadedRow(
        backend.name, number, 1.2 * rng.uniform(0.9, 1.1), 61.0 * rng.uniform(0.9, 1.1),
        102_174_310, 0.8 * backend.memory_mib, 0.7 * backend.memory_mib if gpu else None,
        VERSIONS.get(backend.kind, {}),
    ))  # fmt: skip
    drift = rng.gauss(0, noise)
    for batch in batches:
        for callers in concurrency:
            point = Point(backend.name, "default", batch, concurrency=callers)
            failure = _failure(point, number, backend, batches, concurrency, last, evil)
            if failures and failure:
                store.append(failure)
                continue
            store.append(
                _measure(point, number, backend, rng, drift, noise, window_s, gpu, failures)
            )


def _failure(
    point: Point, number: int, backend: Synthetic, batches: tuple[int, ...],
    concurrency: tuple[int, ...], last: bool, evil: bool,
) -> FailureRow | None:  # fmt: skip
    largest = point.batch_size == batches[-1] and point.concurrency == concurrency[-1]
    if backend.protocol == "http" and largest:
        message = EVIL if evil else "the Triton server ended with signal 9 (SIGKILL)"
        return FailureRow(
            point.id, number, backend.name, "server_died", message,
            "look into the server's log", f"logs/triton-{number}.log",
        )  # fmt: skip
    if backend.kind == "onnxruntime" and largest and last:
        return FailureRow(
            point.id, number, backend.name, "hung", "no answer for 30 s", None, "logs/worker-3.log"
        )
    return None


def _measure(
    point: Point, number: int, backend: Synthetic, rng: random.Random, drift: float, noise: float,
    window_s: float, gpu: bool, failures: bool,
) -> MeasurementRow:  # fmt: skip
    callers = point.concurrency or 1
    service = (backend.fixed_ms + backend.item_ms * point.batch_size) * backend.speed
    service *= 2.718281828 ** (drift + rng.gauss(0, noise))
    parallel = min(callers, 2) ** (0.55 if not gpu else 0.7)
    mean_ms = service * callers / parallel
    requests = int(window_s * 1e3 * parallel / service)
    tails = {"p50": 0.985, "p90": 1.09, "p95": 1.15, "p99": 1.42, "p999": 2.1}
    latency = {
        p: mean_ms * tail * rng.uniform(0.99, 1.01) if requests >= FLOORS[p] else None
        for p, tail in tails.items()
    }
    queue = max(0.0, callers - 2) / callers * mean_ms
    parts = {
        "queue": queue, "compute_input": 0.02 * service, "compute_infer": 0.9 * service,
        "compute_output": 0.004 * service,
    }  # fmt: skip
    watts = (240 + 25 * callers + 4 * point.batch_size) * (1 + 0.01 * number)
    flags = ["few_requests"] if latency["p99"] is None else []
    flagged = failures and backend.protocol == "grpc" and callers == 1 and number == 0
    return measurement(
        point=point.id, round=number, backend=backend.name, config="default",
        batch_size=point.batch_size, concurrency=callers, request_rate=None,
        started=f"2026-03-04T10:{12 + number}:00+00:00", window_begin_ns=10**12,
        window_end_ns=10**12 + int(window_s * 1e9), requests=requests,
        errors=3 if flagged else 0, throughput=requests * point.batch_size / window_s,
        latency_mean_ms=mean_ms, latency_ms=latency,
        latency_order_ms={p: (v * 0.97, v * 1.04) if v else None for p, v in latency.items()},
        server_us={k: v * 1e3 for k, v in parts.items()} if backend.kind == "triton" else {},
        server_count=requests if backend.kind == "triton" else None,
        host_memory_mib=backend.memory_mib * (0.5 if gpu else 1) + 9 * point.batch_size * callers,
        cpu_percent=170.0, client_cpu_percent=20.0,
        gpu_memory_mib=backend.memory_mib + 11.0 * point.batch_size if gpu else None,
        gpu_memory_scope="process" if gpu else "",
        gpu_utilization_percent=min(99.0, 40.0 + 12 * callers) if gpu else None,
        gpu_power_w=watts if gpu else None, gpu_energy_j=watts * window_s if gpu else None,
        samples=f"samples/{point.id.replace('/', '_')}-{number}.parquet", warmup_requests=25,
        flags=(*flags, *(["errors", "host_bound"] if flagged else [])),
        details={
            "memory_since": "session" if backend.kind == "triton" else "point",
            **({
                "joules_per_inference": watts * window_s / (requests * point.batch_size),
                "gpu_sm_clock_mhz": [1980.0 - 15 * (callers > 2), 1980.0],
                "gpu_temperature_c": [40.0, 44.0 + 2 * callers + number],
            } if gpu else {}),
        },
    )  # fmt: skip
