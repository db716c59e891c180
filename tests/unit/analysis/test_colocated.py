"""Models colocated: intervals over rounds, their bounds and weights, alone against together."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.rows import measurement

from harness.analysis import colocated
from harness.analysis.best import choose, nearest
from harness.analysis.constraints import bounds_of, holds, satisfies
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.objective import THROUGHPUT, objective_of
from harness.analysis.summary import SummaryRow, summarize
from harness.scenario.points import Point
from harness.scenario.reading.loader import load_text

SCENARIO = """\
scenario: s
model: {name: net, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - &t
    kind: triton
    protocol: grpc
    serve: torch
    instances: [1, 2]
    name: pair
    colocated:
      name: det
      model: {source: {torch: package.module:other}, inputs: {name: y, shape: [batch, 3]}}
      instances: [1, 2]
      load: {concurrency: 2}
      constraints: {latency_p50_ms: {max: 50, one_round: true}}
      weight: WEIGHT
  - {<<: *t, name: alone, colocated: []}
constraints: {errors: {max: 0}}
"""
WOBBLE = (1.0, 1.01, 0.99)


def resolved(weight: float = 0.0) -> dict[str, Any]:
    return load_text(SCENARIO.replace("WEIGHT", str(weight))).model_dump(mode="json")


def row(
    backend: str, config: str, throughput: float, det: float | None = None, p50: Any = 10.0,
    flags: tuple[str, ...] = (),
) -> SummaryRow:  # fmt: skip
    """Three rounds of a point; `det` is the throughput of the co-located model, or None."""
    point = Point(backend, config, 1, concurrency=1)

    def facts(n: int) -> dict[str, Any]:
        if det is None:
            return {}
        return {"colocated": {"det": {
            "load": {"batch_size": 1, "concurrency": 2}, "throughput": det * WOBBLE[n],
            "latency_ms": {"p50": p50, "p99": None}, "requests": 100, "errors": n, "flags": flags,
        }}}  # fmt: skip

    (found,) = summarize(
        measurement(
            point=point.id, round=n, backend=backend, config=config, requests=100,
            throughput=throughput * WOBBLE[n], latency_ms={"p50": 1.0}, details=facts(n),
        )
        for n in range(3)
    )  # fmt: skip
    return found


def test_values_are_geometric_means_with_intervals_over_the_rounds() -> None:
    one = row("pair", "default", 100, 40, flags=("errors",))
    (found,) = colocated.summarize_colocated(one)
    assert found.throughput == log_t_interval([40 * w for w in WOBBLE])
    assert found.latency_ms["p50"] is not None
    assert found.latency_ms["p99"] is None
    assert (found.requests, found.errors, found.flags) == (300, 3, ("errors",))
    assert one.value("colocated/det/throughput") == found.throughput
    assert one.value("colocated/det/errors") == Interval(3.0)
    assert one.value("colocated/other/throughput") is None
    assert colocated.summarize_colocated(row("alone", "default", 100)) == []


def test_infinite_percentiles_of_a_journal_are_numbers_again() -> None:
    found = row("pair", "default", 100, 40, p50="inf").value("colocated/det/latency_p50_ms")
    assert found is not None
    assert math.isinf(found.value)


def test_its_constraints_are_those_of_the_point() -> None:
    bounds = bounds_of(resolved())
    assert set(bounds) == {"errors", "colocated/det/present", "colocated/det/latency_p50_ms"}
    assert satisfies(row("pair", "i2", 100, 40), bounds) == "yes"
    slow = row("pair", "i1", 300, 40, p50=60.0)
    assert (
        holds(slow, "colocated/det/latency_p50_ms", bounds["colocated/det/latency_p50_ms"]) == "no"
    )
    alone = row("alone", "default", 500)
    assert holds(alone, "colocated/det/present", {"min": 1}) == "no"
    choice = choose([slow, alone, row("pair", "i2", 100, 40)], THROUGHPUT, bounds)
    assert [r.config for r in choice.candidates] == ["i2"]
    found = nearest([slow], bounds)
    assert found is not None
    assert [(m.metric, m.by) for m in found.misses] == [
        ("colocated/det/latency_p50_ms", pytest.approx(0.2))
    ]


def test_its_weight_makes_the_score_a_geometric_mean_of_throughputs() -> None:
    assert objective_of(resolved(0)).single == "throughput"
    score = objective_of(resolved(2))
    assert score.weights == (("throughput", 1.0), ("colocated/det/throughput", 2.0))
    greedy, fair = row("pair", "i2", 400, 20), row("pair", "det.i2", 200, 60)
    value = score.value(fair)
    assert value is not None
    assert value.value == pytest.approx((200 * 60**2) ** (1 / 3), rel=1e-3)
    rows = [greedy, fair, row("alone", "default", 10_000)]
    choice = choose(rows, score, {})
    assert choice.winner == fair
    assert [r.backend for r in choice.candidates] == ["pair", "pair"]
    assert choose(rows[:2], objective_of(resolved(0)), {}).winner == greedy
    weighted = {**resolved(1), "objective": {"throughput": 3}}
    assert objective_of(weighted).weights[0] == ("throughput", 3.0)


def test_alone_and_together_are_paired_by_what_is_served() -> None:
    rows = [
        row("pair", "default", 100, 40), row("pair", "i1-det.i2", 90, 80),
        row("pair", "i2-det.i2", 150, 70), row("alone", "default", 120), row("alone", "i2", 200),
    ]  # fmt: skip
    found = colocated.pairs(rows, resolved())
    assert [(p.together.config, p.alone.config) for p in found] == [
        ("default", "default"), ("i1-det.i2", "default"), ("i2-det.i2", "i2"),
    ]  # fmt: skip
    assert colocated.pairs(rows[:3], resolved()) == []
    assert colocated.pairs(rows, {"backends": []}) == []
