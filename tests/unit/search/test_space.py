"""What is searched, and what for."""

from __future__ import annotations

from harness.scenario.spec.scenario import Scenario
from harness.search.space import TOP, TRIALS, Space, goal, spaces


def scenario(**more: object) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [
            {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime",
             "instances": [1, 2], "dynamic_batching": [False, True]},
            {"kind": "onnxruntime", "name": "ort"},
        ],
        **more,
    })  # fmt: skip


def test_a_space_a_backend_the_default_first() -> None:
    found = spaces(scenario())
    assert list(found) == ["t", "ort"]
    assert found["t"].configs[0] == "default"
    assert len(found["t"].configs) == 4
    assert [axis.key for axis in found["t"].axes] == ["instances", "dynamic_batching"]
    assert (found["ort"].configs, found["ort"].start) == (["default"], ())


def test_places_and_names_belong_together() -> None:
    space = spaces(scenario())["t"]
    assert space.start == (0, 0)
    assert all(dict(space.places)[name] == place for place, name in space.by_place.items())


def test_a_climb_begins_at_the_first_values_where_the_default_is_no_combination() -> None:
    space = spaces(scenario())["t"]
    outside = Space("t", space.axes, (("default", None), *space.places[1:]))
    assert outside.start == (0, 0)
    assert "default" not in outside.by_place.values()


def test_the_goal_is_the_scenarios() -> None:
    found = goal(scenario(
        search={"method": "bayesian", "trials": 7}, objective="latency_p50_ms",
        constraints={"throughput": {"min": 5}}, measurement={"seed": 3},
    ))  # fmt: skip
    assert (found.method, found.trials, found.top, found.seed) == ("bayesian", 7, TOP, 3)
    assert found.objective.single == "latency_p50_ms"
    assert found.bounds["throughput"]["min"] == 5
    assert goal(scenario()).trials == TRIALS
