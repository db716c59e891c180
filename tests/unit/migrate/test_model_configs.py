"""Which lists are alternatives, and which are values, follows Triton's own message."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from harness.migrate.model_configs import keys_of, on_cpu
from harness.migrate.table import BadValueError


def keys(text: str, *, cpu_only: bool = False) -> dict[str, object]:
    return keys_of(YAML(typ="safe").load(text), cpu_only=cpu_only)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("max_batch_size: 4", {"max_batch_size": 4}),
        ("max_batch_size: [6, 8]", {"max_batch_size": [6, 8]}),
        ("dynamic_batching: {}", {"dynamic_batching": True}),
        ("dynamic_batching:", {"dynamic_batching": True}),
        ("dynamic_batching: {max_queue_delay_microseconds: [0, 9]}",
         {"dynamic_batching": [{"queue_delay": "0us"}, {"queue_delay": "9us"}]}),
        ("dynamic_batching: {preferred_batch_size: [4, 8]}",
         {"dynamic_batching": {"preferred": [4, 8]}}),
        ("dynamic_batching: {preferred_batch_size: [[4], [4, 8]]}",
         {"dynamic_batching": [{"preferred": [4]}, {"preferred": [4, 8]}]}),
        ("dynamic_batching: {preserve_ordering: true}",
         {"config": {"dynamic_batching": {"preserve_ordering": True}}}),
        ("instance_group: [{kind: KIND_GPU, count: [1, 2]}]", {"instances": [1, 2]}),
        ("instance_group: [{count: 3}]", {"instances": 3}),
        ("instance_group: [[{kind: KIND_GPU, count: 1}], [{kind: KIND_CPU, count: 2}]]",
         {"config": [{"instance_group": [{"kind": "KIND_GPU", "count": 1}]},
                     {"instance_group": [{"kind": "KIND_CPU", "count": 2}]}]}),
        ("instance_group: [{kind: KIND_GPU, count: 1}, {kind: KIND_CPU, count: 1}]",
         {"config": {"instance_group": [{"kind": "KIND_GPU", "count": 1},
                                        {"kind": "KIND_CPU", "count": 1}]}}),
        ("optimization: {cuda: {graphs: [true, false]}}",
         {"config": [{"optimization": {"cuda": {"graphs": True}}},
                     {"optimization": {"cuda": {"graphs": False}}}]}),
        ("parameters: {X: {string_value: [a]}}",
         {"config": {"parameters": {"X": {"string_value": ["a"]}}}}),
    ],
)  # fmt: skip
def test_what_is_swept(text: str, made: dict[str, object]) -> None:
    assert keys(text) == made


def test_cpu_only_gives_groups_their_kind() -> None:
    assert keys("instance_group: [{count: [1, 2]}]", cpu_only=True) == {"config": on_cpu([1, 2])}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("max_batch: 4", "no such field; did you mean 'max_batch_size'"),
        ("dynamic_batching: {queue: 1}", "dynamic_batching.queue"),
        ("max_batch_size: []", "empty list"),
        ("max_batch_size: x", "whole number"),
        ("dynamic_batching: 4", "expected a mapping"),
        ("- 4", "expected a mapping"),
    ],
)
def test_what_is_no_configuration(text: str, says: str) -> None:
    with pytest.raises(BadValueError, match=says):
        keys(text)
