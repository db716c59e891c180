"""A small recorded run to plan from, in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.rows import measurement

from harness.plan.planning import Asked, Plan, make_plan
from harness.plan.sizing import Demand
from harness.results.rows import ServerOnlyRow
from harness.results.store import RunData

CARD = 15_360
HOSTILE = "a: b\n---\nkind: Pod # '\"$(rm -rf /);`id`"


def run(*, backend: str = "served", extra: tuple[Any, ...] = (), **changes: Any) -> RunData:
    """Three rounds of two loads on a Triton with two stubs and 3,000 MiB, on a card of 15 GiB."""
    rows: list[Any] = []
    for round_ in range(3):
        # a small load, and a large one whose p99 is 40 ms
        for callers, rate, p99 in ((1, 200.0, 9.0), (8, 900.0, 40.0)):
            fields: dict[str, Any] = {
                "point": f"{backend}/b1/c{callers}", "backend": backend, "round": round_,
                "concurrency": callers, "throughput": rate + round_,
                "latency_ms": {"p50": p99 / 2, "p99": p99 + round_ / 10},
                "gpu_memory_mib": 2900.0 + 50 * round_, "gpu_memory_scope": "process",
                "gpu_utilization_percent": 20.0, "host_memory_mib": 1000.0,
            }  # fmt: skip
            rows.append(measurement(**{**fields, **changes}))
    empty = ServerOnlyRow(backend, 0, 1.0, 400.0, 2.0, gpu_memory_mib=600.0)
    gpu = {"name": "NVIDIA Test", "memory_mib": CARD, "driver": "580.159.04"}
    settings = {"name": backend, "kind": "triton", "instances": 2}
    manifest = {
        "scenario": {"scenario": "small", "backends": [settings]}, "machine": {"gpus": [gpu]},
    }  # fmt: skip
    return RunData(Path("run"), manifest, (*rows, empty, *extra))


def demand(rate: float = 1000.0, slo_ms: float = 20.0, **changes: float) -> Demand:
    """With 20 % headroom and no growth."""
    return Demand(rate, slo_ms, **{"headroom": 0.2, "growth": 0.0, **changes})


def plan(**asked: Any) -> Plan:
    """Of `run`, for `demand`."""
    return make_plan(run(), demand(), Asked(**asked))
