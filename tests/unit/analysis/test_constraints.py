"""Whether bounds hold, judged by the interval."""

from __future__ import annotations

import pytest
from support.rows import point

from harness.analysis.constraints import Bound, bounds_of, holds, satisfies

ROW = point([90.0, 100.0, 110.0], latency_ms={"p50": 10.0})


@pytest.mark.parametrize(
    ("name", "bound", "answer"),
    [
        ("throughput", {"min": 50.0}, "yes"), ("throughput", {"min": 100.0}, "unknown"),
        ("throughput", {"min": 200.0}, "no"), ("throughput", {"max": 200.0}, "yes"),
        ("throughput", {"max": 50.0}, "no"), ("latency_p50_ms", {"max": 10.5}, "yes"),
        ("latency_p50_ms", {"max": 9.5}, "no"), ("latency_p99_ms", {"max": 1e9}, "unknown"),
        ("gpu_memory_mib", {"max": 1e9}, "unknown"), ("errors", {"max": 0.0}, "yes"),
        ("throughput", {"min": None, "max": None}, "yes"),
    ],
)  # fmt: skip
def test_one_bound(name: str, bound: Bound, answer: str) -> None:
    assert holds(ROW, name, bound) == answer


def test_of_several_the_worst_answer_counts() -> None:
    yes, unknown, no = ({"min": v} for v in (50.0, 100.0, 200.0))
    assert satisfies(ROW, {}) == "yes"
    assert satisfies(ROW, {"throughput": yes, "latency_p50_ms": {"max": 11.0}}) == "yes"
    assert satisfies(ROW, {"throughput": unknown, "latency_p50_ms": {"max": 11.0}}) == "unknown"
    assert satisfies(ROW, {"throughput": unknown, "latency_p50_ms": {"max": 1.0}}) == "no"
    assert satisfies(ROW, {"throughput": no, "latency_p99_ms": {"max": 1.0}}) == "no"


def test_what_a_scenario_wants_its_co_located_models_too() -> None:
    other = {"name": "det", "constraints": {"latency_p50_ms": {"max": 3.0}, "errors": None}}
    scenario = {
        "constraints": {"throughput": {"min": 9.0}, "errors": None},
        "backends": [{"name": "t", "colocated": [other]}, {"name": "u"}],
    }
    assert bounds_of(scenario) == {
        "throughput": {"min": 9.0}, "colocated/det/present": {"min": 1},
        "colocated/det/latency_p50_ms": {"max": 3.0},
    }  # fmt: skip
    assert bounds_of({}) == {}
