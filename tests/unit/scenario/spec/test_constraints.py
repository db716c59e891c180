"""What may stand in `constraints` and `objective`."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from harness.scenario.metrics import CONSTRAINTS, OBJECTIVES
from harness.scenario.rules.base import Broken
from harness.scenario.spec.constraints import Constraints, Weights


def broken(model: type[Constraints | Weights], data: object) -> list[Broken]:
    """The rules that don't hold."""
    try:
        model.model_validate(data)
    except ValidationError as error:
        return [e["ctx"]["broken"] for e in error.errors()]
    return []


@pytest.mark.parametrize("name", CONSTRAINTS)
def test_a_bound_is_on_the_side_that_is_worse(name: str) -> None:
    useful, useless = ("min", "max") if name == "throughput" else ("max", "min")
    assert not broken(Constraints, {name: {useful: 1.0}})
    (wrong,) = broken(Constraints, {name: {useless: 1.0}})
    assert (wrong.loc, wrong.on_key) == ((name, useless), True)
    assert f"write `{useful}`" in wrong.message
    (missing,) = broken(Constraints, {name: {}})
    assert (missing.loc, missing.lacks) == ((name,), (useful,))


def test_a_useless_side_is_a_mistake_beside_a_useful_one_too_and_zero_is_a_bound() -> None:
    for name, useless in (("throughput", "max"), ("latency_p50_ms", "min")):
        (wrong,) = broken(Constraints, {name: {"min": 0.0, "max": 0.0}})
        assert wrong.loc == (name, useless)
    assert not broken(Constraints, {"throughput": {"min": 0.0}, "errors": {"max": 0.0}})


def test_constraints_that_were_written_are_items() -> None:
    found = Constraints.model_validate({"errors": {"max": 0}, "throughput": {"min": 5}})
    assert [(name, limit.min, limit.max) for name, limit in found.items()] == [
        ("throughput", 5, None), ("errors", None, 0),
    ]  # fmt: skip


def test_weights_name_a_metric() -> None:
    (wrong,) = broken(Weights, {})
    assert "write the weights" in wrong.message
    assert [broken(Weights, {name: 1.0}) for name in OBJECTIVES] == [[]] * len(OBJECTIVES)
