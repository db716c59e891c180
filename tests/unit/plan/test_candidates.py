"""Which points hold a target, and what a replica of them carries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support import planned
from support.rows import capacity, measurement

from harness.plan.candidates import own_sessions, points_of
from harness.plan.planning import Asked, make_plan
from harness.results.rows import MeasurementRow


def test_only_what_holds_the_target_is_a_candidate() -> None:
    found = points_of(planned.run()).holding(20.0)
    (one,) = found.holding
    assert one.point == "served/b1/c1"
    assert one.rate_low < 200 < one.rate < 202
    assert one.gpu_mib == 3000.0
    assert len(points_of(planned.run()).holding(50.0).holding) == 2
    assert points_of(planned.run()).holding(5.0).holding == ()
    assert found.nearest is not None
    assert found.nearest[0] == "served/b1/c1"


def test_memory_is_not_that_of_the_session_that_compared_outputs() -> None:
    data = planned.run()
    events = tuple(
        replace(e, gpu_memory_mib=9000.0, host_memory_mib=4000.0)
        if isinstance(e, MeasurementRow) and e.round == 0 else e
        for e in data.events
    )  # fmt: skip
    (found,) = points_of(replace(data, events=events)).holding(20.0).holding
    assert (found.gpu_mib, found.host_mib, found.compared) == (3000.0, 1000.0, False)
    once = replace(data, events=tuple(e for e in events if getattr(e, "round", 0) == 0))
    (alone,) = (row for row in points_of(once).rows if row.point == "served/b1/c1")
    assert (alone.gpu_memory_mib, alone.memory_compared) == (9000.0, True)


def test_memory_of_the_card_is_not_that_of_a_round_in_which_others_used_it() -> None:
    data = planned.run()
    busy: dict[str, Any] = {"gpu_memory_mib": 9000.0, "flags": ("foreign_gpu_process",)}

    def planned_with(scope: str) -> float | None:
        events = tuple(
            replace(e, **(busy if e.round == 1 else {}), gpu_memory_scope=scope)
            if isinstance(e, MeasurementRow) else e
            for e in data.events
        )  # fmt: skip
        (found,) = points_of(replace(data, events=events)).holding(20.0).holding
        return found.gpu_mib

    assert planned_with("device") == 3000.0
    assert planned_with("process") == 9000.0


def test_what_one_round_shows_is_undecided() -> None:
    data = planned.run()
    once = [e for e in data.events if getattr(e, "round", 0) == 0]
    found = points_of(type(data)(data.path, data.manifest, tuple(once))).holding(20.0)
    assert (found.holding, found.undecided) == ((), ("served/b1/c1",))


def test_an_undecided_point_that_carries_more_is_named_with_what_would_decide_it() -> None:
    """Of c8, which is faster than c1, p99 is not known."""
    data = planned.run()
    rows = [
        replace(e, latency_ms={"p50": 5.0, "p99": None})
        if isinstance(e, MeasurementRow) and e.point == "served/b1/c8" else e
        for e in data.events
    ]  # fmt: skip
    made = make_plan(replace(data, events=tuple(rows)), planned.demand(), Asked())
    (said,) = (text for text in made.estimates if "undecided" in text)
    assert said.startswith("1 undecided point measured more inferences a second")
    assert "served/b1/c8 the most (901)" in said and "measurement.window" in said
    assert not any("undecided" in text for text in planned.plan().estimates)


def test_a_lower_percentile_shows_that_p99_fails_where_it_is_not_known() -> None:
    unknown = planned.run(latency_ms={"p50": 30.0, "p99": None})
    assert len(points_of(unknown).holding(40.0).undecided) == 2
    assert points_of(unknown).holding(20.0).undecided == ()


def test_invalid_points_are_none() -> None:
    assert points_of(planned.run(flags=("outputs_differ",))).holding(50.0).holding == ()


def test_a_searched_capacity_counts_for_its_own_target_and_looser_ones() -> None:
    point = "served/b4/find_capacity"
    rows: list[object] = []
    for n in range(3):
        rows.append(capacity(point=point, backend="served", batch_size=4, round=n, target_ms=15.0,
                             knee_rate=50.0))  # fmt: skip
        rows += [
            measurement(
                point=f"served/b4/r{rate:g}", backend="served", batch_size=4, concurrency=None,
                request_rate=rate, round=n, details={"search": point}, gpu_memory_mib=40 * rate,
            )
            for rate in (80.0, 84.0)
        ]  # fmt: skip
    points = points_of(planned.run(extra=tuple(rows)))
    (found,) = [c for c in points.holding(20.0).holding if c.batch_size == 4]
    assert found.rate == pytest.approx(320)
    assert found.gpu_mib == 3360.0
    assert found.knee == pytest.approx(200)  # inferences: 50 requests of 4
    assert [c.batch_size for c in points.holding(12.0).holding] == [1]


def test_memory_is_a_points_own_where_the_scenario_asks_for_memory() -> None:
    assert own_sessions({"constraints": {"gpu_memory_mib": {"max": 1}}})
    assert own_sessions({"objective": "gpu_memory_mib"})
    assert not own_sessions({"constraints": {"memory-net.latency_p99_ms": {"max": 1}}})
    assert not own_sessions({"constraints": {"gpu_memory_mib": None}, "objective": "throughput"})


def test_a_searched_capacity_that_breaks_another_constraint_is_none() -> None:
    point = "served/b4/find_capacity"
    rows: list[object] = []
    for n in range(3):
        rows.append(capacity(point=point, backend="served", batch_size=4, round=n, target_ms=15.0))
        rows.append(
            measurement(
                point="served/b4/r80", backend="served", batch_size=4, concurrency=None,
                request_rate=80.0, round=n, details={"search": point}, gpu_memory_mib=3200.0,
            )
        )  # fmt: skip
    data = planned.run(extra=tuple(rows))
    for most, sizes in ((5000, [1, 4]), (3100, [1])):
        scenario = {**data.scenario, "constraints": {"gpu_memory_mib": {"max": most}}}
        limited = type(data)(data.path, {**data.manifest, "scenario": scenario}, data.events)
        assert [c.batch_size for c in points_of(limited).holding(20.0).holding] == sizes
