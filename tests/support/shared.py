"""Sharing runs with a known truth, written through RunStore like real ones, without a process."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from support.rows import measurement

from harness.results.events import RunEnded, RunStarted
from harness.results.rows import FailureRow, MeasurementRow
from harness.results.store import RunStore
from harness.scenario.spec.scenario import Scenario
from harness.tenants.design import Cell, design
from harness.tenants.results import KIND, Results, read_results
from harness.tenants.settings import Tenant
from harness.tenants.stressors import stressors

MODES = ({"kind": "time_slicing"}, {"kind": "mps", "threads": 50})
ALONE_MS = {"a": 2.0, "b": 5.0}
"""Mean time of a request, alone."""
KEPT = {"time_slicing": 0.5, "mps-50%": 0.9}
"""Of dedicated throughput, where replicas share a load."""
SLOWED = {("a", "b"): 2.0, ("b", "a"): 1.2}
"""Row beside column; a replica beside itself is slowed down by 1.5."""
USES = {
    "a": (0.6, 0.2, 0.0, 0.0, 0.1), "b": (0.1, 0.5, 0.0, 0.2, 0.0),
    "stress-compute": (0.9, 0.1, 0.0, 0.0, 0.0), "stress-memory": (0.1, 0.9, 0.0, 0.0, 0.0),
    "stress-copies-in": (0.0, 0.1, 0.9, 0.0, 0.0), "stress-copies-out": (0.0, 0.1, 0.0, 0.9, 0.0),
    "stress-launches": (0.1, 0.0, 0.0, 0.0, 0.9), "stress-copies": (0.0, 0.1, 0.45, 0.45, 0.0),
}  # fmt: skip
"""Where pairs are predicted: the share of its time that each spends at a resource; the last is
a stressor of earlier runs.
"""


def slow_down(row: str, column: str) -> float:
    """The truth where pairs are predicted: resources share their rates evenly."""
    return 1 + sum(x * y for x, y in zip(USES[row], USES[column], strict=True))


FAKE = {
    "model": {"name": "m", "source": {"fake": {}}},
    "backends": ({"kind": "fake", "name": "f"},),
}
_INPUT = {"name": "x", "dtype": "float32", "shape": ("batch", 3)}
GPU = {
    "model": {"name": "m", "source": {"torch": "m:m"}, "inputs": (_INPUT,)},
    "backends": ({"kind": "torch", "name": "f", "device": "cuda"},),
}


def scenario(*, gpu: bool = False, **sharing: Any) -> Scenario:
    """Two tenants of one backend."""
    return Scenario.model_validate({
        "scenario": "shared", **(GPU if gpu else FAKE),
        "sharing": {
            "tenants": ({"name": "a", "load": {"concurrency": 2}},
                        {"name": "b", "load": {"concurrency": 1}}),
            "modes": ("time_slicing",), **sharing,
        },
        "measurement": {"profile": "quick", "rounds": 5},
    })  # fmt: skip


def full(**changes: Any) -> Scenario:
    """With a sharing table and a target."""
    return scenario(**{
        "replicas": {"counts": (2, 4), "concurrency": (4, 16)},
        "target": {"latency_p99_ms": 20.0, "most": 3}, **changes,
    })  # fmt: skip


def write_shared(
    path: Path, found: Scenario, *, p99_ms: Mapping[int, float] | None = None, rounds: int = 5,
    spread: float = 0.01, fail: str = "", status: str = "complete", beside: Sequence[Tenant] = (),
) -> Results:  # fmt: skip
    """A run in which the cells do what they truly do, with a scatter of `spread` a round; p99 of n
    replicas is that of `p99_ms`, and the cell named `fail` has no memory; `beside` takes
    the stressors' place.
    """
    assert found.sharing is not None
    rng = random.Random(0)
    manifest = {"schema_version": 3, "scenario": found.model_dump(mode="json"), "kind": KIND,
                "created": "2026-01-02T03:04:05+00:00"}  # fmt: skip
    with RunStore.create(path, manifest) as store:
        store.append(RunStarted("2026-01-02T03:04:05+00:00"))
        for round_ in range(rounds):
            luck = rng.gauss(1, 0.1)  # of the round, which all share
            for cell in design(found.sharing, beside or stressors(found)).cells:
                if cell.id == fail:
                    store.append(FailureRow(cell.id, round_, "f", "out_of_memory", "no memory"))
                    continue
                for row in _rows(cell, round_, luck, lambda: rng.gauss(1, spread), p99_ms or {}):
                    store.append(row)
        store.append(RunEnded(status, "2026-01-02T03:05:05+00:00"))
    return read_results(path)


def _rows(cell: Cell, round_: int, luck: float, noise: Any, p99_ms: Mapping[int, float]) -> Any:
    each = []
    for seat in cell.seats:
        others = [s.tenant for s in cell.seats if s is not seat]
        slow = 1.0
        for other in others:
            if cell.resident:
                slow *= slow_down(seat.tenant, other)
                continue
            slow *= 1.5 if other == seat.tenant else SLOWED[seat.tenant, other]
        kept = KEPT.get(cell.mode.id, 1.0) if len({s.tenant for s in cell.seats}) == 1 else 1 / slow
        alone_ms = ALONE_MS.get(seat.tenant, 1.0)
        mean = alone_ms * slow * luck * noise()
        callers = seat.load.concurrency or 1
        rate = 1000.0 * callers / alone_ms * (kept if others else 1.0) / luck * noise()
        p99 = p99_ms.get(len(cell.seats), 3 * mean) * noise()
        each.append(_row(cell.of(seat), round_, seat.name, rate, mean, p99))
    if len(each) > 1:
        rate = sum(row.throughput for row in each)
        mean = sum(row.latency_mean_ms or 0.0 for row in each) / len(each)
        p99 = max(row.latency_ms["p99"] or 0.0 for row in each)
        each.insert(0, _row(cell.id, round_, "all", rate, mean, p99))
    return each


def _row(
    point: str, round_: int, backend: str, rate: float, mean: float, p99: float
) -> MeasurementRow:
    return measurement(
        point=point, round=round_, backend=backend, throughput=rate, latency_mean_ms=mean,
        latency_ms={"p50": mean, "p90": None, "p95": None, "p99": p99, "p999": None},
        details={"joules_per_inference": 100.0 / rate}, gpu_memory_mib=900.0,
        gpu_memory_scope="process", gpu_energy_j=100.0, gpu_utilization_percent=80.0,
    )  # fmt: skip
