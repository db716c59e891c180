"""What the lists of a Triton backend stand for."""

from __future__ import annotations

import re
from typing import Any

import pytest

from harness.scenario.points import expand, left_out
from harness.scenario.reading.loader import load_text
from harness.scenario.spec.colocated import MODEL_CONFIG_FIELDS
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import axes, configs, grid, settings, variants
from harness.triton.client.settings import TritonSettings

OWN = {"server": {"repository": "models"}}


def triton(**keys: Any) -> TritonSettings:
    return TritonSettings.model_validate(
        {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime", **keys}
    )


def scenario(batches: list[int], **keys: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s",
        "model": {"name": "m", "source": {"onnx": "m.onnx"}},
        "backends": [
            {"kind": "onnxruntime"},
            {"kind": "triton", "protocol": "grpc", "name": "t", "serve": "onnxruntime", **keys},
        ],
        "load": {"batch_sizes": batches, "concurrency": [1, 2]},
    })  # fmt: skip


def test_without_lists_there_is_one_config_and_it_is_the_backend() -> None:
    spec = triton(instances=2, config={"response_cache": {"enable": True}})
    assert variants(spec) == {"default": spec}
    assert axes(spec) == ()


def test_names_hold_only_what_varies() -> None:
    found = variants(triton(
        instances=[2, 1], max_batch_size=[4, 8], precision="fp16",
        dynamic_batching=[False, {"preferred": [4, 8], "queue_delay": "500us"}],
    ))  # fmt: skip
    assert list(found) == [
        "default",
        "i1-mb4", "i1-mb4-dyn-p4.8-500us", "i1-mb8", "i1-mb8-dyn-p4.8-500us",
        "i2-mb4", "i2-mb4-dyn-p4.8-500us", "i2-mb8", "i2-mb8-dyn-p4.8-500us",
    ]  # fmt: skip
    last = found["i2-mb8-dyn-p4.8-500us"]
    assert (last.instance_count, last.max_batch) == (2, 8)
    assert last.batching is not None
    assert (last.batching.preferred, last.batching.queue_delay) == ((4, 8), 0.0005)
    assert found["i1-mb4"].batching is None
    assert all(spec.precision == "fp16" for spec in found.values())


def test_every_variant_has_single_values_and_no_two_are_the_same() -> None:
    found = variants(triton(
        instances=[1, 2], dynamic_batching=[False, True],
        config=[{"response_cache": {"enable": True}}, {"optimization": {"priority": 1}}],
        env={"A": [1, "two words"], "B": "fixed"},
    ))  # fmt: skip
    assert len(found) == 1 + 2 * 2 * 2 * 2
    for spec in found.values():
        assert variants(spec) == {"default": spec}
        spec.instance_count, spec.max_batch, spec.batching, spec.config_fields  # noqa: B018
        assert spec.variables["B"] == "fixed"
    assert len({spec.model_dump_json() for spec in found.values()}) == len(found)
    assert found["i1-cfg2-A-two_words"].variables == {"A": "two words", "B": "fixed"}
    assert found["default"].variables == {"B": "fixed"}


def test_the_variant_that_is_the_default_is_left_out() -> None:
    assert list(variants(triton(instances=[1, 2]))) == ["default", "i2"]
    assert list(variants(triton(instances=[2, 3]))) == ["default", "i2", "i3"]
    batches = triton(max_batch_size=[4, 8])
    assert list(variants(batches, largest_batch=8)) == ["default", "mb4"]
    assert list(variants(batches, largest_batch=2)) == ["default", "mb4", "mb8"]
    default = grid(batches, largest_batch=8)[0]
    assert (default.name, default.place) == ("default", (1,))


def test_what_a_users_model_is_by_default_only_the_server_knows() -> None:
    spec = triton(serve=None, instances=[1, 2], dynamic_batching=[False, True], **OWN)
    assert list(variants(spec)) == ["default", "i1", "i1-dyn", "i2", "i2-dyn"]
    assert not variants(spec)["default"].changes_model
    assert grid(spec)[0].place is None


def test_a_list_of_one_is_its_value() -> None:
    spec = triton(instances=[2], dynamic_batching=[True], config=[{}], env={"A": ["x"]})
    assert (spec.instances, spec.dynamic_batching, spec.config) == (2, True, {})
    assert spec.variables == {"A": "x"}


def test_lists_are_no_value() -> None:
    spec = triton(
        instances=[1, 2], max_batch_size=[1, 2], dynamic_batching=[True, False],
        config=[{}, {"backend": "x"}], env={"A": ["1", "2"]},
    )  # fmt: skip
    for name in ("instance_count", "max_batch", "batching", "config_fields", "variables"):
        with pytest.raises(ValueError, match="several configs"):
            getattr(spec, name)


def test_odd_values_of_variables_still_give_names_that_differ_and_can_be_file_names() -> None:
    found = variants(triton(env={"A": ["/x y", "/x_y", "é" * 200, "-"]}))
    assert len(found) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}", name) for name in found)


def test_numbers_are_sorted_and_text_is_not() -> None:
    spec = triton(instances=[4, 1, 2], env={"N": [10, 9], "T": ["b", "a"]})
    assert [(a.key, a.values, a.ordered) for a in axes(spec)] == [
        ("instances", (1, 2, 4), True), ("env.N", ("9", "10"), True), ("env.T", ("b", "a"), False),
    ]  # fmt: skip


def test_a_point_is_made_for_each_config_and_batch_that_it_takes() -> None:
    written = scenario([1, 4], max_batch_size=[1, 4])
    assert list(configs(written)["t"]) == ["default", "mb1"]
    ids = [p.id for p in expand(written) if p.backend == "t"]
    assert ids == ["t/b1/c1", "t/b1/c2", "t/b4/c1", "t/b4/c2", "t/mb1/b1/c1", "t/mb1/b1/c2"]
    assert left_out(written) == ["t/mb1 takes batches up to 1, so it is not measured at batch 4"]
    assert left_out(scenario([1, 4], instances=[1, 2])) == []


def test_settings_say_what_is_served() -> None:
    spec = variants(triton(instances=[1, 2], env={"A": "1"}))["i2"]
    assert settings(spec, 8) == {
        "instances": 2, "max_batch_size": 8, "dynamic_batching": False, "env": {"A": "1"},
    }  # fmt: skip
    theirs = triton(serve=None, dynamic_batching={"queue_delay": "1ms"}, **OWN)
    assert settings(theirs, 8) == {
        "instances": None, "max_batch_size": None, "dynamic_batching": {"queue_delay": "1ms"},
    }  # fmt: skip


def test_the_known_fields_are_those_of_tritons_message() -> None:
    from tritonclient.grpc.model_config_pb2 import ModelConfig

    assert {f.name for f in ModelConfig.DESCRIPTOR.fields} == {"name", *MODEL_CONFIG_FIELDS}


GOOD = """\
scenario: s
model: {{name: n, source: {{torch: package.module:make}}, inputs: {{name: x, shape: [batch, 4]}}}}
backends: [{{kind: triton, protocol: grpc, serve: torch, {0}}}]
{1}
"""


@pytest.mark.parametrize(
    ("keys", "rest"),
    [
        ("instances: [1, 2], max_batch_size: [1, 8]", "search: halving"),
        ("dynamic_batching: [false, {queue_delay: 0ms}]", "search: {method: bayesian, trials: 5}"),
        ("env: {OMP_NUM_THREADS: [1, 2]}", "search: {method: quick, top: 2, budget: 20m}"),
        ("config: [{}, {response_cache: {enable: true}}]", "objective: {throughput: 2}"),
        ("config: {parameters: {a: {string_value: b}}}", "objective: [throughput, latency_p99_ms]"),
    ],
)
def test_good_ones_load_and_read_back(keys: str, rest: str) -> None:
    found = load_text(GOOD.format(keys, rest))
    assert Scenario.model_validate(found.model_dump(mode="json")) == found
