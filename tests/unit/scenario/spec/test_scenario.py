"""The models by themselves: strict, and as resolved they read back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from pydantic import ValidationError

from harness.scenario.spec.constraints import Bound
from harness.scenario.spec.load import PROFILES, Load, Measurement
from harness.scenario.spec.model import Files, Input, ModelSpec, Source
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import Server

GOOD: dict[str, Any] = {
    "scenario": "s",
    "model": {
        "name": "n",
        "source": {"torch": "package.module:make", "kwargs": {"a": [1, {"b": None}]}},
        "inputs": [
            {"name": "ids", "dtype": "int64", "shape": ["batch", "words"], "range": [0, 9]},
            {"name": "x", "shape": ["batch"], "data": {"files": ["a.png"], "mean": 1, "std": 2}},
        ],
        "dynamic": {"words": 7},
    },
    "backends": [
        {"kind": "torch", "device": "cuda:1", "precision": "tf32"},
        {"kind": "triton", "protocol": "grpc", "serve": "torch", "server": {"args": "--x"}},
    ],
    "constraints": {"latency_p99_ms": {"max": 20}, "throughput": {"min": 1.5}},
}


def test_as_resolved_it_reads_back() -> None:
    scenario = Scenario.model_validate(GOOD)
    for mode in ("json", "python"):
        assert Scenario.model_validate(scenario.model_dump(mode=mode)) == scenario
    assert Scenario.model_validate_json(scenario.model_dump_json()) == scenario


def test_names_are_filled_in() -> None:
    scenario = Scenario.model_validate(GOOD)
    assert [b.name for b in scenario.backends] == ["torch-cuda1-tf32", "triton-grpc-torch"]


def test_x_keys_are_left_out() -> None:
    assert Scenario.model_validate({**GOOD, "x-shared": 1}) == Scenario.model_validate(GOOD)


@pytest.mark.parametrize("profile", PROFILES)
def test_a_profile_fills_what_is_not_written(profile: str) -> None:
    measurement = Measurement.model_validate({"profile": profile, "rounds": 7})
    assert measurement.rounds == 7
    assert measurement.window_requests == PROFILES[profile]["window_requests"]


def test_given_constraints() -> None:
    constraints = Scenario.model_validate(GOOD).constraints
    assert constraints.items() == [
        ("latency_p99_ms", Bound(max=20.0)),
        ("throughput", Bound(min=1.5)),
    ]


@pytest.mark.parametrize(
    ("model", "data"),
    [
        (Source, {}),
        (Source, {"torch": "a:b", "onnx": "c"}),
        (Source, {"onnx": "c", "seed": 1}),
        (Input, {"name": "x", "shape": [1, 2], "value": 1, "data": "zeros"}),
        (Input, {"name": "x", "shape": ["batch"], "range": [1, 1]}),
        (Files, {"files": "a.png", "std": 1}),
        (ModelSpec, {"name": "n", "source": {"torch": "a:b"}}),
        (Server, {"url": "h:1", "repository": "r"}),
        (Load, {"batch_sizes": [1, 1]}),
        (Measurement, {"window": "10s", "window_max": "1s"}),
    ],
)
def test_rules_hold_for_each_model_by_itself(model: Any, data: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(data)
    assert [e["type"] for e in caught.value.errors()] == ["rule"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("backends", 1, "max_batch_size"), None),
        (("backends", 1, "serve"), "onnxruntime"),
        (("load",), {"batch_sizes": [1, 8]}),
    ],
)
def test_changes_that_keep_it_good(path: tuple[Any, ...], value: Any) -> None:
    assert Scenario.model_validate(changed(path, value))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("backends", 1, "serve"), None),
        (("backends", 0, "device"), "cpu"),
        (("backends", 1, "name"), "torch-cuda1-tf32"),
        (("backends", 0), {"kind": "fake"}),
        (("constraints", "throughput"), {"max": 3}),
        (("load",), {"batch_sizes": "1"}),
        (("backends", 0, "threads"), 1.0),
        (("backends", 0, "threads"), True),
        (("extra",), 1),
    ],
)
def test_changes_that_make_it_bad(path: tuple[Any, ...], value: Any) -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate(changed(path, value))


@pytest.mark.parametrize("backends", [None, [], 3, "torch", {}])
def test_a_section_that_can_not_be_parsed_hides_no_mistake_of_another(backends: Any) -> None:
    search = {"budget": "1h"}
    data = {**GOOD, "backends": backends, "search": search, "measurement": search}
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(data)
    found = [(e["type"] == "rule", e["loc"][:1]) for e in caught.value.errors()]
    assert (False, ("backends",)) in found
    assert (True, ()) in found


def test_what_can_be_parsed_of_a_broken_list_is_compared() -> None:
    data = changed(("backends",), [{"kind": "fake"}, {"kind": "fakes"}, {"kind": "fake"}])
    with pytest.raises(ValidationError, match=r"has the same name as backends.0., 'fake'"):
        Scenario.model_validate(data)


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    data = copy.deepcopy(GOOD)
    holder: Any = data
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return data


def test_a_model_without_a_batch_has_requests_of_one_inference() -> None:
    data = copy.deepcopy(GOOD)
    data["model"] = {"name": "n", "source": {"onnx": "m.onnx"}, "batch": "none"}
    data["backends"] = [{"kind": "triton", "protocol": "grpc", "serve": "onnxruntime"}]
    assert Scenario.model_validate(data).load.batch_sizes == (1,)
    data["load"] = {"batch_sizes": [1, 4]}
    data["backends"][0]["dynamic_batching"] = True
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(data)
    messages = [error["msg"] for error in caught.value.errors()]
    assert any("load.batch_sizes: must be [1]" in text for text in messages)
    assert any("backends.0.dynamic_batching" in text for text in messages)
