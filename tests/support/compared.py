"""Run directories whose truth is known, for comparisons: backends that differ by planted shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from support.rows import measurement

from harness.results.events import RunEnded
from harness.results.rows import FailureRow, LoadedRow, ParityRow
from harness.results.store import RunStore

MACHINE = {
    "cpu": {"model": "Made-up CPU", "usable": 8, "governor": "performance", "turbo": True},
    "gpus": [], "python": "3.11.7",
}  # fmt: skip
PLACES = ("b1/c1",)


def write_blocks(
    path: Path,
    slower: Mapping[str, float],
    *,
    rounds: int = 6,
    noise: float = 0.002,
    places: tuple[str, ...] = PLACES,
    seed: int = 1,
    manifest: Mapping[str, Any] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    changes: Mapping[str, Any] | None = None,
    error: Mapping[str, float] | None = None,
    failed: Mapping[str, str] | None = None,
    builds: bool | None = None,
    conditions: Mapping[str, Any] | None = None,
) -> Path:
    """One run of the backends in `slower` (name → share by which it is slower than 4 ms).

    `settings` are further keys of a backend's entry, `changes` fields of every measurement,
    `error` the outputs' distance from the reference, `failed` the reason of a backend that can't
    run, `builds` whether engines are built each round (None: there are none).
    """
    rng = np.random.default_rng(seed)
    extra = settings or {}
    scenario = {
        "scenario": "made-up", "model": {"name": "m"}, "load": {"concurrency": [1]},
        "measurement": {"window": "1s", "rounds": rounds}, **(conditions or {}),
        "backends": [{"kind": "fake", "name": n, **extra.get(n, {})} for n in slower],
    }  # fmt: skip
    known = {
        "schema_version": 3, "scenario": scenario, "machine": MACHINE,
        "packages": {"numpy": "2.0"}, "created": "2026-11-28T12:00:00+00:00",
    }  # fmt: skip
    with RunStore.create(path, {**known, **(manifest or {})}) as store:
        for name in slower:
            if name in (error or {}):
                store.append(ParityRow(
                    name, 1, "agrees", "eager", 1, (error or {})[name], 0.0, 0.0, "|a-b| < 1",
                ))  # fmt: skip
        for number in range(rounds):
            shared = rng.normal(0, noise)
            for name, share in slower.items():
                _round(store, name, number, share, shared, rng, noise, places, changes or {},
                       (failed or {}).get(name), builds)  # fmt: skip
        store.append(RunEnded("complete"))
    return path


def _round(
    store: RunStore, name: str, number: int, share: float, shared: float,
    rng: np.random.Generator, noise: float, places: tuple[str, ...], changes: Mapping[str, Any],
    failed: str | None, builds: bool | None,
) -> None:  # fmt: skip
    engine = {} if builds is None else {"built": builds or number == 0, "build_seconds": 2.0}
    store.append(LoadedRow(name, number, 0.5, 9.0, 1000, 50.0, None, engine))  # type: ignore[arg-type]
    for place in places:
        point = f"{name}/{place}"
        if failed is not None:
            store.append(FailureRow(point, number, name, failed, "it refuses the engine"))
            continue
        ms = 4.0 * (1 + share) * float(np.exp(shared + rng.normal(0, noise)))
        concurrency = int(place.rpartition("c")[2]) if "/c" in place else None
        store.append(measurement(**{
            "point": point, "round": number, "backend": name, "throughput": 1000 / ms,
            "concurrency": concurrency, "batch_size": 1,
            "request_rate": None if concurrency else 10.0,
            "started": f"2026-11-28T12:{number:02d}:00+00:00",
            "latency_ms": {"p50": ms, "p90": 1.1 * ms, "p95": 1.2 * ms, "p99": 1.3 * ms,
                           "p999": None},
            **changes,
        }))  # fmt: skip


CALIBRATION = {
    "schema_version": 2, "runs": 6,
    "spread": {m: {"run": 0.004, "round": 0.004} for m in ("throughput", "p50", "p99")},
}  # fmt: skip
"""Of a quiet machine."""
