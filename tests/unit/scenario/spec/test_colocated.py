"""Models beside the measured one: what may be written, and which configs it stands for."""

from __future__ import annotations

from typing import Any

import pytest

from harness.errors import ScenarioError
from harness.scenario.points import expand
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import axes, configs, grid, settings, variants
from harness.search.space import spaces
from harness.triton.client.settings import TritonSettings

TEXT = """\
scenario: s
model: {name: net, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - kind: triton
    protocol: grpc
    serve: torch
    instances: [1, 2]
    colocated:
      - name: det.v2
        model: {source: {torch: package.module:other}, inputs: {name: y, shape: [batch, 3]}}
        instances: [1, 2]
        dynamic_batching: [false, {preferred: [4]}]
        max_batch_size: 8
        load: {batch_size: 2, request_rate: 20}
        constraints: {latency_p99_ms: {max: 50}}
        weight: 0.5
"""
THERE = """\
scenario: s
model: {name: net, source: {triton: net}}
backends:
  - kind: triton
    protocol: grpc
    server: SERVER
    colocated: {name: det, KEYS}
"""


def backend(text: str = TEXT) -> TritonSettings:
    found = load_text(text).backends[0]
    assert isinstance(found, TritonSettings)
    return found


def test_it_reads_back_as_itself_and_gets_its_model_by_its_own_name() -> None:
    scenario = load_text(TEXT)
    assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
    (other,) = backend().colocated
    assert other.spec.name == "det.v2"
    assert other.spec.source.torch == "package.module:other"
    assert backend().name == "triton-grpc-torch-with-det.v2"


def test_its_lists_are_axes_of_the_backend_and_part_of_the_names() -> None:
    spec = backend()
    keys = ["instances", "colocated.det.v2.instances", "colocated.det.v2.dynamic_batching"]
    assert [axis.key for axis in axes(spec)] == keys
    found = variants(spec)
    assert list(found) == [
        "default", "i1-det.v2.i1-det.v2.dyn-p4", "i1-det.v2.i2", "i1-det.v2.i2-det.v2.dyn-p4",
        "i2-det.v2.i1", "i2-det.v2.i1-det.v2.dyn-p4", "i2-det.v2.i2", "i2-det.v2.i2-det.v2.dyn-p4",
    ]  # fmt: skip
    last = found["i2-det.v2.i2-det.v2.dyn-p4"]
    assert (last.instance_count, last.colocated[0].instances) == (2, 2)
    assert settings(last, 1)["colocated"]["det.v2"] == {
        "instances": 2, "max_batch_size": 8, "dynamic_batching": {"preferred": [4]},
    }  # fmt: skip
    assert found["default"].colocated[0].instances is None
    assert all(variants(one) == {"default": one} for one in found.values())
    assert grid(spec)[0].place == (0, 0, 0)


def test_a_search_and_the_points_know_every_pair() -> None:
    scenario = load_text(TEXT)
    (space,) = spaces(scenario).values()
    assert len(space.configs) == len(configs(scenario)[space.backend]) == 8
    assert {p.config for p in expand(scenario)} == set(space.configs)
    assert space.start == (0, 0, 0)


def test_alone_it_is_a_backend_of_the_same_server() -> None:
    spec = variants(backend())["i1-det.v2.i2"]
    alone = spec.alone(spec.colocated[0])
    assert (alone.name, alone.instances, alone.serve, alone.protocol) == (
        "det.v2", 2, "torch", "grpc",
    )  # fmt: skip
    assert alone.colocated == ()
    assert TritonSettings.model_validate_json(alone.model_dump_json()) == alone


def test_a_model_of_the_users_repository_needs_its_name_only(tmp_path: Any) -> None:
    text = THERE.replace("SERVER", f"{{repository: {tmp_path}}}")
    spec = backend(text.replace("KEYS", "load: {concurrency: 1}"))
    assert spec.colocated[0].spec.source.triton == "det"
    assert not spec.alone(spec.colocated[0]).changes_model
    named = "model: {source: {triton: detector}}, instances: [1, 2], load: {concurrency: 1}"
    spec = backend(text.replace("KEYS", named))
    assert spec.colocated[0].spec.source.triton == "detector"
    assert list(variants(spec)) == ["default", "det.i1", "det.i2"]


def broken(text: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        load_text(text)
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("request_rate: 20", "request_rate: 20, concurrency: 1", "exactly one of concurrency and"),
        (", request_rate: 20", "", "exactly one of concurrency and request_rate; found none"),
        ("name: det.v2", "name: net", "'net' is the measured model's name"),
        ("weight: 0.5", "weight: -1", "must be at least 0"),
        ("latency_p99_ms", "gpu_memory_mib", "memory is the whole server's"),
        ("latency_p99_ms", "joules_per_inference", "energy is the whole GPU's"),
        ("{max: 50}", "{min: 50}", "less is better of latency_p99_ms"),
        ("max_batch_size: 8", "max_batch_size: [1, 8]", "1 is less than the batch of its load, 2"),
        ("{torch: package.module:other}", "{triton: x}", "the harness makes the server's reposi"),
        ("{torch: package.module:other}", "{fake: {}}", "can't run a model from `fake` with torch"),
        ("[batch, 3]", "[3]", "has no batch dimension"),
        ("instances: [1, 2]\n        dyn", "instances: [2, 2]\n        dyn", "2 is there twice"),
        ("weight: 0.5", "device: GPU-0a", "the server sees the backend's device only"),
        ("weight: 0.5", "weigth: 0.5", "did you mean 'weight'"),
    ],
)
def test_mistakes_are_said(old: str, new: str, said: str) -> None:
    assert old in TEXT
    assert said in broken(TEXT.replace(old, new))


@pytest.mark.parametrize(
    ("device", "serve", "keys", "said"),
    [
        ("cuda", "torch", "precision: tf32", None),
        ("cpu", "torch", "precision: tf32, device: cuda", None),
        ("cuda", "torch", "precision: tf32, device: cpu", "colocated[0].precision: tf32 exists on"),
        ("cpu", "onnxruntime", "precision: bf16, serve: torch", None),
        ("cpu", "torch", "precision: bf16, serve: onnxruntime", "ONNX Runtime has no bf16 here"),
        ("cpu", "onnxruntime", "precision: fp16", None),
    ],
)
def test_its_precision_must_be_one_that_it_can_run_in(
    device: str, serve: str, keys: str, said: str | None
) -> None:
    first, _, rest = TEXT.partition("    serve: torch\n")
    text = f"{first}    serve: {serve}\n    device: {device}\n{rest}"
    text = text.replace("weight: 0.5", keys.replace(", ", "\n        "))
    if said is None:
        assert backend(text).colocated[0].precision in keys
    else:
        assert said in broken(text)


def test_a_model_that_is_not_there_and_not_given_is_a_mistake() -> None:
    text = TEXT.replace(next(li for li in TEXT.splitlines() if "module:other" in li) + "\n", "")
    assert "needs `model`: the harness makes the server's repository" in broken(text)


def test_names_constraints_and_weights_must_agree() -> None:
    entry = TEXT[TEXT.index("      - name") :]
    assert "two models have the name 'det.v2'" in broken(TEXT + entry)
    again = TEXT[TEXT.index("  - kind") :].replace("grpc", "http")
    assert load_text(TEXT + again).backends[1].name == "triton-http-torch-with-det.v2"
    other = again.replace("max: 50", "max: 60").replace("weight: 0.5", "weight: 2")
    text = broken(TEXT + other)
    assert "constraints: of 'det.v2' is not what another backend says" in text
    assert "weight: of 'det.v2' is not what another backend says" in text
    front = TEXT + "objective: [throughput, latency_p99_ms]\n"
    assert "goes with an objective of one value" in broken(front)


def test_behind_a_url_nothing_of_it_is_set() -> None:
    text = THERE.replace("SERVER", "{url: 'host:8001'}")
    assert backend(text.replace("KEYS", "load: {concurrency: 1}")).colocated
    said = broken(text.replace("KEYS", "instances: 2, load: {concurrency: 1}"))
    assert "not with one behind a url" in said
    said = broken(text.replace("KEYS", "serve: torch, load: {concurrency: 1}"))
    assert "not with one from `triton`" in said
