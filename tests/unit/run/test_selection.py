"""Which configs a round measures, and where the budget ends a search."""

from __future__ import annotations

from typing import Any

import pytest
from support.rows import measurement

from harness.results.rows import PERCENTILES, MeasurementRow
from harness.run import selection
from harness.run.selection import Selection
from harness.scenario.points import Point
from harness.scenario.spec.scenario import Scenario


def scenario(varied: bool = True, **more: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s",
        "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [
            {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime",
             "instances": [1, 2, 3] if varied else 1},
            {"kind": "onnxruntime", "name": "ort"},
        ],
        "load": {"concurrency": [1]},
        "measurement": {"rounds": 3},
        **more,
    })  # fmt: skip


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(selection.time, "monotonic", lambda: now[0])
    return now


def test_only_lists_make_a_search() -> None:
    plain = Selection(scenario(varied=False))
    assert (plain.searching, plain.open_ended) == (False, False)
    assert Selection(scenario()).searching
    assert not Selection(scenario()).open_ended
    assert Selection(scenario(search="quick")).open_ended


def test_what_was_begun_is_finished_before_anything_else() -> None:
    found = Selection(scenario(search="quick"))
    assert found.next("t", [], done=[], begun=["i2"]) == ["i2"]
    assert found.next("t", [], done=["i2"], begun=["i2"]) == ["default"]
    assert found.next("ort", [], done=[], begun=[]) == ["default"]


def test_a_search_that_was_ended_stays_ended() -> None:
    found = Selection(scenario(), ended=True)
    assert found.next("t", [], done=["default"], begun=["default", "i2"]) == ["i2"]
    assert found.next("t", [], done=["default", "i2"], begun=["default", "i2"]) == []


def test_backends_without_lists_are_measured_in_every_round() -> None:
    assert ("ort", "default") in Selection(scenario(search="quick")).repeated([], [], 2)


def test_without_a_budget_it_is_never_too_late(clock: list[float]) -> None:
    found = Selection(scenario())
    clock[0] += 1e6
    assert not found.budget_spent()
    assert not found.too_late(0, "i2")


def test_time_for_the_further_rounds_is_kept_back(clock: list[float]) -> None:
    """Three rounds of 100 s: after one config of 20 s, a second one would make 3 × 40 s."""
    found = Selection(scenario(search={"method": "grid", "budget": "100s"}))
    assert not found.too_late(0, "i2")
    found.add_duration(20.0)
    clock[0] += 20
    assert found.too_late(0, "i2")
    longer = Selection(scenario(search={"method": "grid", "budget": "130s"}))
    longer.add_duration(20.0)
    clock[0] += 20
    assert not longer.too_late(0, "i2")


def test_quick_keeps_back_less_because_it_repeats_less(clock: list[float]) -> None:
    found = Selection(scenario(search={"method": "quick", "top": 1, "budget": "200s"}))
    grid = Selection(scenario(search={"method": "grid", "budget": "200s"}))
    for one in (found, grid):
        for _ in range(5):
            one.add_duration(10.0)
    clock[0] += 50
    assert not found.too_late(0, "i3")  # 50 + 10 + 2 × 3 × 10
    clock[0] += 40
    assert not found.too_late(0, "i3")
    assert grid.too_late(0, "i3")


def test_the_default_is_always_measured_and_later_rounds_use_all_the_time(
    clock: list[float],
) -> None:
    found = Selection(scenario(search={"budget": "100s"}))
    found.add_duration(60.0)
    clock[0] += 99
    assert not found.too_late(0, "default")
    assert not found.too_late(1, "i2")
    clock[0] += 2
    assert found.budget_spent()
    assert not found.too_late(0, "default")
    assert found.too_late(1, "default")


def test_without_a_search_an_added_round_ends_with_the_budget_and_a_planned_one_does_not(
    clock: list[float],
) -> None:
    found = Selection(scenario(varied=False, measurement={"rounds": 3, "budget": "100s"}))
    clock[0] += 99
    assert not found.too_late(3, "default")
    clock[0] += 2
    assert [found.too_late(round_, "default") for round_ in (0, 2, 3)] == [False, False, True]
    measurement = {"rounds": 1, "rounds_max": 4, "budget": "100s"}
    once = Selection(scenario(varied=False, measurement=measurement))
    clock[0] += 101  # a second round that was begun gives every point its interval
    assert [once.too_late(round_, "default") for round_ in (0, 1, 2)] == [False, False, True]


def rows(**values: list[float]) -> list[MeasurementRow]:
    return [
        measurement(
            point=Point("t", config, 1, concurrency=1).id, round=n, backend="t", config=config,
            throughput=value, latency_ms=dict.fromkeys(PERCENTILES),
        )
        for config, found in values.items()
        for n, value in enumerate(found)
    ]  # fmt: skip


def test_what_may_be_the_best_gets_further_rounds_up_to_the_most() -> None:
    found = Selection(scenario(search={"method": "grid", "rounds_max": 5}))
    close = rows(default=[100, 103, 98], i2=[95, 104, 99], i3=[50, 51, 49])
    assert found.rounds_max == 5
    assert found.undecided(close, [], 3) == ["t/b1/c1", "t/i2/b1/c1"]
    assert found.undecided(close, [], 1) == []  # the rounds from 1 on do not count
    assert found.undecided(close, [], 5) == []
    said = found.not_told_apart(close, [])
    assert "after 3 rounds" in said
    assert "5 %: t/b1/c1, t/i2/b1/c1" in said
    found.cut = True
    assert "not told apart when the budget was spent" in found.not_told_apart(close, [])
    assert found.not_told_apart(rows(default=[100, 101, 99], i2=[50, 51, 49]), []) == ""


@pytest.mark.parametrize(
    "more", [{"measurement": {"rounds": 1}}, {"search": {"method": "grid", "rounds_max": 1}}]
)
def test_the_choice_can_be_left_open(more: dict[str, Any]) -> None:
    found = Selection(scenario(**more))
    assert found.undecided(rows(default=[100, 103, 98], i2=[95, 104, 99]), [], 3) == []


def test_a_budget_that_is_over_when_all_is_measured_is_not_said_to_be_why(
    clock: list[float],
) -> None:
    found = Selection(scenario(search={"method": "grid", "rounds_max": 3, "budget": "100s"}))
    clock[0] += 101
    assert found.budget_spent()
    said = found.not_told_apart(rows(default=[100, 103, 98], i2=[95, 104, 99]), [])
    assert "not told apart after 3 rounds" in said


def test_without_lists_nothing_is_added() -> None:
    found = Selection(scenario(varied=False))
    assert found.rounds_max == 0
    assert found.not_told_apart(rows(default=[100, 103, 98]), []) == ""
