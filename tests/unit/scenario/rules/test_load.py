"""Which side a bound is on, and that it is there."""

from __future__ import annotations

import pytest

from harness.scenario.rules.base import Broken
from harness.scenario.rules.load import bound, weights


@pytest.mark.parametrize(
    ("metric", "data"),
    [
        ("throughput", {"min": 0.0}), ("throughput", {"min": 5.0, "max": None}),
        ("latency_p99_ms", {"max": 0.0}), ("errors", {"max": 0}), ("latency_p99_ms", 5.0),
        ("latency_p99_ms", None),
    ],
)  # fmt: skip
def test_a_bound_on_the_useful_side_is_one(metric: str, data: object) -> None:
    assert list(bound(metric, data)) == []


@pytest.mark.parametrize(
    ("metric", "side", "message"),
    [
        ("throughput", "max", "more is better of throughput; write `min`"),
        ("latency_p50_ms", "min", "less is better of latency_p50_ms; write `max`"),
        ("gpu_memory_mib", "min", "less is better of gpu_memory_mib; write `max`"),
    ],
)
def test_the_other_side_is_a_mistake_even_beside_a_useful_one(
    metric: str, side: str, message: str
) -> None:
    broken = Broken((side,), message, on_key=True)
    assert list(bound(metric, {side: 0.0})) == [broken]
    assert list(bound(metric, {"min": 1.0, "max": 2.0})) == [broken]


def test_a_bound_without_a_number_is_a_mistake_that_a_misspelt_key_may_explain() -> None:
    for metric, side in (("throughput", "min"), ("errors", "max")):
        (broken,) = bound(metric, {"min": None, "max": None})
        assert (broken.loc, broken.lacks) == ((), (side,))
        assert f"{{{side}: 100}}" in broken.message


def test_an_objective_has_at_least_one_weight() -> None:
    assert list(weights({"throughput": None, "latency_p99_ms": 0.0})) == []
    for data in ({}, {"throughput": None}):
        (broken,) = weights(data)
        assert (broken.loc, broken.on_key) == ((), False)
        assert broken.message.startswith("write the weights, like {throughput: 2")
