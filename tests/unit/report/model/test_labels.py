"""Codes and metrics in words."""

from __future__ import annotations

import pytest
from support.rows import point

from harness.analysis.constraints import Bound
from harness.analysis.objective import parse_objective
from harness.report.model.labels import (
    bound_text,
    bounds_text,
    counted,
    flag_text,
    listed,
    load_label,
    load_text,
    metric_words,
    objective_text,
    place_text,
    rounds_text,
    short_load,
    some,
    why_invalid,
)


@pytest.mark.parametrize(
    ("name", "bound", "text"),
    [
        ("latency_p99_ms", {"max": 20.0}, "p99 latency ≤ 20 ms"),
        ("latency_p999_ms", {"max": 20.0, "min": None}, "p99.9 latency ≤ 20 ms"),
        ("throughput", {"min": 100.0}, "throughput ≥ 100 infer/s"),
        ("errors", {"max": 0.0}, "errors ≤ 0"),
        ("colocated/det/latency_p50_ms", {"max": 3.0}, "det's p50 latency ≤ 3 ms"),
        ("colocated/det/present", {"min": 1}, "det beside it"),
    ],
)
def test_bounds(name: str, bound: Bound, text: str) -> None:
    assert bound_text(name, bound) == text
    assert bounds_text({name: bound}) == text


def test_no_bounds_and_several() -> None:
    assert bounds_text({}) == "None"
    both = {"throughput": {"min": 1.0}, "host_memory_mib": {"max": 9.0}}
    assert bounds_text(both) == "throughput ≥ 1 infer/s, host memory ≤ 9 MiB"


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("throughput", "maximizing throughput"),
        ("latency_p99_ms", "minimizing p99 latency"),
        (["throughput", "gpu_memory_mib"], "trading throughput and GPU memory against each other"),
        ({"throughput": 2, "latency_p50_ms": 1},
         "balancing throughput (weight 2) and p50 latency (weight 1)"),
    ],
)  # fmt: skip
def test_objectives(written: object, text: str) -> None:
    assert objective_text(parse_objective(written)) == text


def test_loads() -> None:
    closed = point(concurrency=4, batch_size=2)
    rate = point(concurrency=None, request_rate=100.0)
    ramp = point(concurrency=None, request_rate=None, point="a/b1/find_capacity")
    assert [load_text(r) for r in (closed, rate, ramp)] == [
        "concurrency 4", "100 requests/s", "find capacity",
    ]  # fmt: skip
    assert [load_label(r) for r in (closed, rate)] == ["4", "100/s"]
    assert [short_load(r) for r in (closed, rate)] == ["c4", "100/s"]
    assert place_text(closed) == "batch 2, concurrency 4"


def test_rounds_and_reasons() -> None:
    assert rounds_text([point([1.0, 1.0])]) == "2 rounds"
    assert rounds_text([point([1.0]), point([1.0, 1.0, 1.0])]) == "1 to 3 rounds"
    invalid = point(flags=("few_requests", "no_steady_state", "parity"))
    assert why_invalid(invalid) == "drifted, outputs differ from the reference"
    assert flag_text("failed_hung").endswith("no answer before the deadline")
    assert flag_text("no_steady_state").startswith("NO STEADY STATE: ")
    assert flag_text("of_a_later_version") == "of_a_later_version"


def test_lists() -> None:
    assert [listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
    assert some(["a", "b", "c"], 1) == ["a", "2 more"]
    assert some(["a", "b"], 2) == ["a", "b"]
    assert (counted(1, "point"), counted(2000, "point")) == ("1 point", "2,000 points")
    assert metric_words("joules_per_inference") == ("energy per inference", " J")
