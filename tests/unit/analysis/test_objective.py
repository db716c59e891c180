"""What "best" means where several metrics count, and what is missed where none is good enough."""

from __future__ import annotations

import math
from typing import Any

import pytest
from support.rows import measurement

from harness.analysis.best import choose, nearest, order, ranks
from harness.analysis.constraints import satisfies
from harness.analysis.differences import Differences
from harness.analysis.intervals import Interval
from harness.analysis.objective import Objective, parse_objective, single
from harness.analysis.summary import SummaryRow, summarize
from harness.report.model.labels import objective_text
from harness.results.rows import MeasurementRow
from harness.scenario.points import Point

BOTH = {"throughput": 2.0, "latency_p99_ms": 1.0}


def row(
    name: str, throughput: float, p99: float | None, rounds: int = 3, **more: Any
) -> SummaryRow:
    point = Point(name, "default", 1, concurrency=1)
    wobble = (1.0, 1.01, 0.99)
    (found,) = summarize(
        measurement(**{
            "point": point.id, "round": n, "backend": name, "throughput": throughput * wobble[n],
            "latency_ms": {"p50": 1.0, "p99": p99 and p99 / wobble[n]}, **more,
        })
        for n in range(rounds)
    )  # fmt: skip
    return found


def between(found: SummaryRow, other: SummaryRow, aim: Objective) -> Interval | None:
    """The advantage in a run of these two points."""
    return Differences([found, other]).advantage(found, other, aim)


@pytest.mark.parametrize(
    ("written", "metrics", "pareto"),
    [
        ("throughput", ("throughput",), False),
        (["throughput"], ("throughput",), False),
        ({"throughput": 1, "latency_p99_ms": None}, ("throughput",), False),
        (BOTH, ("throughput", "latency_p99_ms"), False),
        (["throughput", "gpu_memory_mib"], ("throughput", "gpu_memory_mib"), True),
    ],
)
def test_every_way_to_write_it(written: Any, metrics: tuple[str, ...], pareto: bool) -> None:
    found = parse_objective(written)
    assert (found.metrics, found.pareto) == (metrics, pareto)
    assert found.single == (metrics[0] if len(metrics) == 1 else None)


@pytest.mark.parametrize("written", [None, 3, [], {}, {"throughput": None}])
def test_what_is_none(written: Any) -> None:
    with pytest.raises(ValueError, match="no objective"):
        parse_objective(written)


def test_a_single_metric_is_itself() -> None:
    found = row("a", 100.0, 5.0)
    assert single("throughput").value(found) == found.throughput
    assert single("latency_p99_ms").value(found) == found.value("latency_p99_ms")
    assert single("latency_p99_ms").value(row("a", 1.0, None)) is None


def test_the_score_is_the_weighted_geometric_mean() -> None:
    value = parse_objective(BOTH).value(row("a", 100.0, 8.0))
    assert value is not None
    assert value.value == pytest.approx((100.0**2 / 8.0) ** (1 / 3), rel=1e-3)
    assert value.low is not None
    assert value.low < value.value


def test_the_advantage_does_not_depend_on_units() -> None:
    aim = parse_objective(BOTH)
    seconds = between(row("a", 200.0, 0.004), row("b", 100.0, 0.002), aim)
    millis = between(row("a", 200.0, 4.0), row("b", 100.0, 2.0), aim)
    assert seconds is not None
    assert millis is not None
    assert seconds.value == pytest.approx(millis.value) == pytest.approx((2**2 / 2) ** (1 / 3))


def test_weights_decide() -> None:
    rows = [row("fast", 200.0, 10.0), row("quick", 100.0, 2.0)]
    assert order(rows, parse_objective({"throughput": 5, "latency_p99_ms": 1}))[0].backend == "fast"
    assert (
        order(rows, parse_objective({"throughput": 1, "latency_p99_ms": 1}))[0].backend == "quick"
    )
    chosen = choose(rows, parse_objective({"throughput": 1, "latency_p99_ms": 1}), {})
    assert chosen.winner is not None
    assert chosen.winner.backend == "quick"


def test_a_round_without_the_metric_is_not_ranked() -> None:
    rows = [row("a", 100.0, None), row("b", 50.0, 1.0)]
    assert [r.backend for r in order(rows, parse_objective(BOTH))] == ["b"]
    assert order([row("c", 1.0, math.inf)], parse_objective(BOTH)) == []


def test_memory_is_a_metric() -> None:
    rows = [row("a", 1.0, 1.0, gpu_memory_mib=500.0), row("b", 1.0, 1.0, gpu_memory_mib=200.0)]
    assert order(rows, single("gpu_memory_mib"))[0].backend == "b"


def test_energy_is_a_metric_of_which_less_is_better() -> None:
    rows = [
        row(name, speed, 1.0, details={"joules_per_inference": joules})
        for name, speed, joules in (("a", 100.0, 0.5), ("b", 90.0, 0.2), ("c", 200.0, 0.6))
    ]
    assert [r.backend for r in order(rows, single("joules_per_inference"))] == ["b", "a", "c"]
    assert objective_text(single("joules_per_inference")) == "minimizing energy per inference"
    ratio = between(rows[1], rows[0], single("joules_per_inference"))
    assert ratio is not None
    assert ratio.value == pytest.approx(2.5)
    weighted = parse_objective({"throughput": 1, "joules_per_inference": 1})
    assert [r.backend for r in order(rows, weighted)] == ["b", "c", "a"]
    found = choose(rows, parse_objective(["throughput", "joules_per_inference"]), {})
    assert {r.backend for r in found.tied} == {"b", "c", "a"}
    assert order([row("cpu", 1.0, 1.0)], single("joules_per_inference")) == []


def test_energy_may_be_bounded() -> None:
    bound = {"joules_per_inference": {"max": 0.3}}
    answers = [
        satisfies(row("a", 1.0, 1.0, details=details), bound)
        for details in ({"joules_per_inference": 0.2}, {"joules_per_inference": 0.4}, {})
    ]
    assert answers == ["yes", "no", "unknown"]


def test_a_list_gives_the_front_and_no_single_best() -> None:
    rows = [row("fast", 200.0, 10.0), row("quick", 100.0, 2.0), row("bad", 90.0, 11.0)]
    aim = parse_objective(["throughput", "latency_p99_ms"])
    chosen = choose(rows, aim, {})
    assert chosen.is_front
    assert {r.backend for r in chosen.tied} == {"fast", "quick"}
    assert (chosen.winner, chosen.recommended) == (None, None)
    assert ranks(rows, aim) == {"fast/b1/c1": "1=", "quick/b1/c1": "1=", "bad/b1/c1": "3"}
    held = choose(rows, aim, {"latency_p99_ms": {"max": 5.0}})
    assert [r.backend for r in held.tied] == ["quick"]
    assert choose(rows, aim, {"latency_p99_ms": {"max": 1.0}}).tied == ()


def test_the_nearest_point_and_what_it_misses() -> None:
    rows = [row("a", 100.0, 30.0), row("b", 45.0, 11.0), row("c", 200.0, 200.0)]
    found = nearest(rows, {"latency_p99_ms": {"max": 10.0}, "throughput": {"min": 50.0}})
    assert found is not None
    assert found.row.backend == "b"
    assert [(m.metric, m.bound) for m in found.misses] == [
        ("latency_p99_ms", 10.0), ("throughput", 50.0),
    ]  # fmt: skip
    assert [m.by for m in found.misses] == [pytest.approx(0.1, abs=0.01)] * 2


def test_a_bound_that_only_the_interval_misses_is_missed_by_nothing() -> None:
    found = nearest([row("a", 100.0, 9.99)], {"latency_p99_ms": {"max": 10.0}})
    assert found is not None
    assert [m.by for m in found.misses] == [0.0]


def test_what_is_not_known_is_farthest() -> None:
    rows = [row("a", 1.0, None), row("b", 1.0, 99.0)]
    found = nearest(rows, {"latency_p99_ms": {"max": 10.0}})
    assert found is not None
    assert found.row.backend == "b"
    assert nearest([], {"errors": {"max": 0}}) is None
    assert isinstance(parse_objective("throughput"), Objective)


def test_cores_used_are_a_metric_of_which_less_is_better() -> None:
    rows = [row("idle", 100.0, 1.0, cpu_cores=0.5), row("busy", 200.0, 1.0, cpu_cores=2.0)]
    assert [r.backend for r in order(rows, single("cpu_cores"))] == ["idle", "busy"]
    ratio = between(*rows, single("cpu_cores"))
    assert ratio is not None
    assert ratio.value == pytest.approx(4.0)
    assert [satisfies(r, {"cpu_cores": {"max": 1.0}}) for r in rows] == ["yes", "no"]
    assert objective_text(single("cpu_cores")) == "minimizing CPU use"


def test_journals_of_earlier_versions_do_not_know_the_cores() -> None:
    event = row("a", 100.0, 1.0, cpu_percent=150.0).measurements[0].to_event()
    del event["cpu_cores"]
    old = MeasurementRow.from_event(event)
    assert (old.cpu_cores, old.cpu_percent) == (None, 150.0)
    (found,) = summarize([old])
    assert found.value("cpu_cores") is None
    assert satisfies(found, {"cpu_cores": {"max": 1.0}}) == "unknown"
    assert order([found], single("cpu_cores")) == []
