"""Which configs are measured next and again, on landscapes whose best is known."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from support.rows import measurement

from harness.results.rows import FailureRow, MeasurementRow
from harness.scenario.points import Point
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import grid
from harness.search.choose import kept_configs, next_configs
from harness.search.space import Goal, Space, goal, spaces

LATENCY = {"latency_p50_ms": {"max": 10.0}}


def scenario(**more: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s",
        "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [
            {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime",
             "instances": [1, 2, 3, 4, 5], "max_batch_size": [1, 2, 4, 8, 16, 32],
             "dynamic_batching": [False, True]},
            {"kind": "onnxruntime", "name": "ort"},
        ],
        "load": {"concurrency": [1, 2]},
        **more,
    })  # fmt: skip


def landscape(name: str) -> float:
    """Throughput of a config: one top, at 4 instances and batches of 8 with dynamic batching."""
    place = dict(PLACES)[name]
    assert place is not None
    instances, batch, dynamic = place
    return 1000 * math.exp(-0.2 * abs(instances - 3) - 0.1 * abs(batch - 3)) * (1 + 0.3 * dynamic)


BACKEND = scenario().backends[0]
assert BACKEND.kind == "triton"
PLACES = [(c.name, c.place) for c in grid(BACKEND, 1)]
BEST = "i4-mb8-dyn"


def measured(
    config: str, throughput: float, round_: int = 0, concurrency: int = 1, **more: Any
) -> MeasurementRow:
    point = Point("t", config, 1, concurrency=concurrency)
    ms = 1e3 * concurrency / throughput
    return measurement(**{
        "point": point.id, "round": round_, "backend": "t", "config": config,
        "concurrency": concurrency, "throughput": throughput, "latency_mean_ms": ms,
        "latency_ms": {"p50": ms, "p90": None, "p95": None, "p99": None, "p999": None}, **more,
    })  # fmt: skip


def rows_of(config: str, throughput: float, round_: int = 0, **more: Any) -> list[MeasurementRow]:
    """Both points of a config; the second caller brings half as much again."""
    return [measured(config, throughput, round_, 1, **more),
            measured(config, 1.5 * throughput, round_, 2, **more)]  # fmt: skip


def search(
    space: Space, aim: Goal, value: Callable[[str], float], broken: Iterable[str] = (), **more: Any
) -> list[str]:
    """Run a search to its end; the configs in the order they were measured."""
    rows: list[MeasurementRow] = []
    done: list[str] = []
    while asked := next_configs(space, aim, rows, done):
        assert not set(asked) & set(done)
        again = next_configs(space, aim, list(rows), list(done))
        assert again == asked, "not a function of the rows alone"
        for name in asked:
            rows += [] if name in broken else rows_of(name, value(name), **more)
            done.append(name)
    return done


def made(method: str | dict[str, Any], **more: Any) -> tuple[Space, Goal]:
    written = scenario(search=method, **more)
    return spaces(written)["t"], goal(written)


@pytest.mark.parametrize("method", ["grid", "halving"])
def test_grid_and_halving_measure_all_once(method: str) -> None:
    space, aim = made(method)
    assert search(space, aim, landscape) == space.configs
    assert len(space.configs) == 60


def test_a_backend_without_lists_has_one_config() -> None:
    space = spaces(scenario())["ort"]
    assert (space.configs, space.axes) == (["default"], ())
    for method in ("grid", "quick", "bayesian"):
        assert search(space, made(method)[1], lambda _: 1.0) == ["default"]


def test_quick_climbs_to_the_top_with_few_measurements() -> None:
    space, aim = made("quick")
    tried = search(space, aim, landscape)
    assert tried[0] == "default"
    assert max(tried, key=landscape) == BEST
    assert len(tried) < 20


def test_quick_ends_on_the_neighbours_of_its_end() -> None:
    space, aim = made("quick")
    tried = search(space, aim, lambda name: 100.0)
    assert len(tried) == 4  # the default, and the next value of each of three axes
    assert {"i2-mb1", "i1-mb2", "i1-mb1-dyn"} <= set(tried)


def test_quick_goes_on_when_a_config_fails() -> None:
    space, aim = made("quick")
    tried = search(space, aim, landscape, broken=["i2-mb1"])
    assert "i2-mb1" in tried
    assert max((t for t in tried if t != "i2-mb1"), key=landscape) == BEST  # by another way


def test_bayesian_finds_the_top_region_within_its_trials_and_beats_chance() -> None:
    """Over seeds, the median of the best that 20 of 60 configs reach, against random draws."""
    ranked = sorted(dict(PLACES), key=landscape, reverse=True)
    found, drawn = [], []
    for seed in range(5):
        space, aim = made("bayesian", measurement={"seed": seed})
        tried = search(space, aim, landscape)
        assert len(tried) == len(set(tried)) == 20
        found.append(min(map(ranked.index, tried)))
        drawn.append(min(map(ranked.index, random.Random(seed).sample(space.configs, 20))))
    assert sorted(found)[2] <= 2, found  # among the best three of sixty
    assert sum(found) <= sum(drawn), (found, drawn)


def test_bayesian_measures_all_where_there_are_fewer_than_its_trials() -> None:
    small = scenario(search="bayesian").model_copy(update={"backends": (
        BACKEND.model_copy(update={"instances": (1, 2), "max_batch_size": None}),
    )})  # fmt: skip
    space = spaces(small)["t"]
    assert sorted(search(space, goal(small), lambda _: 1.0)) == sorted(space.configs)


@pytest.mark.parametrize("method", ["quick", "bayesian"])
def test_constraints_steer(method: str) -> None:
    """Twice the throughput, but too slow, is worse than what holds the latency."""

    def value(name: str) -> float:
        return landscape(name) / (20 if name.endswith("dyn") else 1)

    space, aim = made(method, constraints=LATENCY)
    tried = search(space, aim, value)
    assert max(tried, key=value) == "i4-mb8" or method == "bayesian"
    again = kept_configs(space, aim, [r for t in tried for r in rows_of(t, value(t))], [], 1)
    assert not any(name.endswith("dyn") for name in again)


@pytest.mark.parametrize(
    "objective", [["throughput", "latency_p50_ms"], {"throughput": 2, "latency_p50_ms": 1}]
)
@pytest.mark.parametrize("method", ["quick", "bayesian"])
def test_several_objectives(method: str, objective: Any) -> None:
    space, aim = made(method, objective=objective)
    tried = search(space, aim, landscape)
    assert landscape(max(tried, key=landscape)) > 0.8 * landscape(BEST)


def noisy(config: str, value: float, rounds: int, spread: float = 0.01) -> list[MeasurementRow]:
    rng = random.Random(config)
    return [
        row for r in range(rounds) for row in rows_of(config, value * rng.gauss(1, spread), r)
    ]  # fmt: skip


def test_halving_drops_only_what_is_clearly_worse() -> None:
    space, aim = made("halving")
    rows = noisy("i2-mb8", 1000, 3) + noisy("i2-mb4", 1005, 3) + noisy("i3-mb1", 500, 3)
    rows += noisy("default", 100, 3)
    assert kept_configs(space, aim, rows, [], 1) == ["default", "i2-mb4", "i2-mb8", "i3-mb1"]
    assert kept_configs(space, aim, rows, [], 3) == ["default", "i2-mb4", "i2-mb8"]


def test_halving_keeps_all_that_noise_hides() -> None:
    space, aim = made("halving")
    rows = noisy("i2-mb8", 1000, 3, 0.3) + noisy("i3-mb1", 800, 3, 0.3) + noisy("default", 900, 3)
    assert kept_configs(space, aim, rows, [], 3) == ["default", "i2-mb8", "i3-mb1"]


def test_what_is_dropped_does_not_come_back() -> None:
    space, aim = made("halving")
    rows = noisy("default", 1000, 4) + noisy("i2-mb8", 500, 3)
    rows += rows_of("i2-mb8", 9000.0, 3)
    assert kept_configs(space, aim, rows, [], 3) == ["default"]
    assert kept_configs(space, aim, rows, [], 4) == ["default"]


def test_halving_drops_what_clearly_breaks_a_constraint_if_something_holds() -> None:
    space, aim = made("halving", constraints=LATENCY)
    slow, fast = noisy("i2-mb8", 50, 3), noisy("i3-mb1", 1000, 3)  # 20 ms against 1 ms
    default = noisy("default", 40, 3)
    assert kept_configs(space, aim, slow + fast + default, [], 3) == ["default", "i3-mb1"]
    assert kept_configs(space, aim, slow + default, [], 3) == ["default", "i2-mb8"]


def test_a_front_is_kept_whole() -> None:
    space, aim = made("halving", objective=["throughput", "latency_p50_ms"])
    rows = [
        row
        for name, throughput, ms in (
            ("default", 100.0, 9.0), ("i2-mb8", 1000.0, 8.0), ("i3-mb1", 300.0, 1.0),
            ("i3-mb2", 200.0, 7.0),
        )
        for r in range(3)
        for row in [measured(name, throughput * (1 + 0.01 * r), r, latency_ms={"p50": ms})]
    ]  # fmt: skip
    assert kept_configs(space, aim, rows, [], 3) == ["default", "i2-mb8", "i3-mb1"]


@pytest.mark.parametrize("method", ["halving", "quick"])
def test_a_config_that_answers_wrongly_at_another_point_drops_no_other(method: str) -> None:
    """It can't be chosen at any of its points, so nothing is worse than it."""
    space, aim = made({"method": method, "top": 1} if method != "halving" else method)
    wrong = [
        replace(row, flags=("wrong_outputs",)) if row.concurrency == 2 else row
        for row in noisy("i2-mb8", 5000, 3)
    ]
    rows = wrong + noisy("default", 100, 3) + noisy("i3-mb1", 1000, 3)
    assert kept_configs(space, aim, rows, [], 3) == ["default", "i3-mb1"]


@pytest.mark.parametrize("method", ["halving", "quick", "bayesian"])
def test_what_was_disturbed_is_not_dropped_beside_what_was_not(method: str) -> None:
    """Until it has a round of its own; on a machine that is busy all along all are judged alike."""
    space, aim = made({"method": method, "top": 1} if method != "halving" else method)
    busy = [replace(row, flags=("foreign_load",)) for row in noisy("i2-mb8", 500, 2)]
    rows = noisy("default", 100, 3) + noisy("i3-mb1", 1000, 3) + noisy("i2-mb4", 600, 3)
    assert set(kept_configs(space, aim, rows + busy, [], 2)) == {"default", "i3-mb1", "i2-mb8"}
    rows += rows_of("i2-mb8", 505.0, 2) + rows_of("i2-mb8", 500.0, 3)
    assert "i2-mb8" not in kept_configs(space, aim, rows + busy, [], 4)
    every = [replace(row, flags=("foreign_load",)) for row in rows]
    assert kept_configs(space, aim, every + busy, [], 2) == ["default", "i3-mb1"]


@pytest.mark.parametrize("method", ["quick", "bayesian"])
def test_the_best_few_and_the_default_are_measured_again(method: str) -> None:
    space, aim = made({"method": method, "top": 2})
    names = [n for n in space.configs if n != "default"][:10]
    values = dict(zip(names, [5, 3, 8, 1, 9, 2, 6, 4, 7, 0.5], strict=True))
    rows = [r for n in names for r in rows_of(n, values[n])] + rows_of("default", 0.1)
    best = [names[2], names[4]]
    assert set(kept_configs(space, aim, rows, [], 1)) == {"default", *best}


def test_a_config_that_failed_is_not_among_the_best() -> None:
    space, aim = made("quick")
    rows = rows_of("default", 10.0) + rows_of("i2-mb8", 20.0)
    failures = [
        FailureRow(Point("t", "i3-mb8", 1, concurrency=c).id, 0, "t", "server", "no")
        for c in (1, 2)
    ]
    assert kept_configs(space, aim, rows, failures, 1) == ["default", "i2-mb8"]


def test_grid_measures_again_what_was_measured() -> None:
    space, aim = made("grid")
    rows = rows_of("default", 10.0) + rows_of("i2-mb8", 0.001)
    assert kept_configs(space, aim, rows, [], 2) == ["default", "i2-mb8"]
