"""Run directories of shards with made-up numbers, each on a GPU or machine of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support.rows import measurement

from harness.results.events import JournalLine, RunEnded, RunStarted
from harness.results.store import RunStore

H100 = "NVIDIA H100 80GB HBM3"
POINTS = ("a/b1/c1", "a/b1/c2", "a/b4/c1")


def manifest(
    index: int = 0, count: int = 1, *, gpu: int | None = None, host: str = "bench-1",
    kind: str = H100, cpus: Iterable[int] = (0, 1, 2, 3), **more: Any,
) -> dict[str, Any]:  # fmt: skip
    """Of a shard on GPU number `gpu`, or on processors."""
    gpus = [] if gpu is None else [{
        "index": gpu, "ordinal": 0, "name": kind, "uuid": f"GPU-{host}-{gpu}", "driver": "570.86",
        "memory_mib": 81559,
    }]  # fmt: skip
    device = "cpu" if gpu is None else "cuda"
    return {
        "schema_version": 3, "harness_version": "0.1.0",
        "created": f"2026-03-0{index + 1}T10:00:00+00:00",
        "scenario": {
            "scenario": "s", "model": {"name": "m"},
            "backends": [{"kind": "torch", "name": "a", "device": device, "precision": "fp32"}],
            "load": {"batch_sizes": [1, 4], "concurrency": [1, 2]},
            "measurement": {"rounds": 4, "window": "2s"}, "constraints": {},
            "objective": "throughput",
        },
        "machine": {
            "hostname": host, "cpu": {"model": "EPYC", "cores": 4, "threads": 4}, "gpus": gpus,
        },
        "packages": {"torch": "2.13.0"},
        **({"shard": {"index": index, "count": count, "cpus": list(cpus)}} if count > 1 else {}),
        **more,
    }  # fmt: skip


def write_shard(
    path: Path, rounds: Iterable[int], written: Mapping[str, Any], *, factor: float = 1.0,
    points: Iterable[str] = POINTS, complete: bool = True, lines: Iterable[JournalLine] = (),
) -> Path:  # fmt: skip
    """A run directory with `rounds` of every point; throughputs are times `factor`."""
    with RunStore.create(path, written) as store:
        store.append(RunStarted(written["created"]))
        for line in lines:
            store.append(line)
        for round_ in rounds:
            for n, point in enumerate(points):
                name = f"samples/{point.replace('/', '--')}--r{round_}.parquet"
                (path / name).write_bytes(b"samples of " + path.name.encode())
                batch = int(point.split("/")[1][1:])
                store.append(measurement(
                    point=point, round=round_, samples=name, batch_size=batch,
                    concurrency=int(point[-1]), started=written["created"],
                    throughput=factor * (250.0 + 100 * n) * (1 + 0.002 * (round_ % 3)),
                ))  # fmt: skip
        (path / "logs" / "prepare.log").write_text(f"log of {path.name}\n")
        if complete:
            store.append(RunEnded("complete", written["created"]))
    return path
