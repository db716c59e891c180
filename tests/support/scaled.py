"""Runs of one Triton whose configurations name different numbers of GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.rows import measurement

from harness.report.model.context import Context, build_context
from harness.results.rows import LoadedRow
from harness.results.store import RunStore, read_run
from harness.triton.repository.change import merged
from harness.triton.repository.native import proto

GROUPS = {n: [{"count": 2, "kind": "KIND_GPU", "gpus": list(range(n))}] for n in (1, 2, 4)}


def config(gpus: int) -> str:
    """As the harness writes it for `config: {instance_group: …}`."""
    empty = proto().ModelConfig(name="m")
    return proto().text(merged(empty, {"instance_group": GROUPS[gpus]}))


def run(path: Path, speeds: dict[int, dict[int, float]], **more: Any) -> Context:
    """Three rounds; GPUs → concurrency → throughput."""
    backends = [{"kind": "triton", "name": f"g{n}", "device": "cuda"} for n in speeds]
    scenario = {"scenario": "s", "model": {"name": "m"}, "backends": backends,
                "load": {"batch_sizes": [8], "concurrency": [2, 8]}, "objective": "throughput",
                "measurement": {}}  # fmt: skip
    with RunStore.create(path, {"scenario": scenario, "schema_version": 3}) as store:
        for n, by_load in speeds.items():
            details: Any = {"config": config(n)}
            store.append(LoadedRow(f"g{n}", 0, 1.0, 1.0, None, None, None, details))
            gpus = {f"GPU-{k}": {"utilization_percent": 90.0 - k, "memory_used_mib": 500.0 + k}
                    for k in range(4)}  # fmt: skip
            for round_ in range(3):
                for load, speed in by_load.items():
                    store.append(measurement(
                        point=f"g{n}/b8/c{load}", backend=f"g{n}", batch_size=8, concurrency=load,
                        round=round_, throughput=speed * (1 + 0.001 * round_), cpu_cores=1.5,
                        client_cpu_percent=50.0, details={"metrics": {"gpus": gpus}}, **more,
                    ))  # fmt: skip
    return build_context(read_run(path))
