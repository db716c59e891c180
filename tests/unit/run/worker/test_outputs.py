"""Outputs kept under load, against those of a quiet call."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.backends.base import BackendContext
from harness.backends.fake import FakeBackend, FakeCaller, FakeSettings
from harness.models.tensors import PreparedModel, TensorSpec
from harness.run.worker.outputs import OutputCheck
from harness.scenario.sizes import Part
from harness.scenario.spec.model import Parity

MODEL = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())
SETTINGS = FakeSettings(kind="fake", name="f", service_time_ms=0.0)

PARTS = (Part({}),)
KINDS = [(0, variant) for variant in range(8)]


class Counted(FakeBackend):
    """Says how many requests it was asked."""

    prepared = 0

    def prepare(self, inputs: Any) -> Any:
        self.prepared += 1
        return super().prepare(inputs)


@pytest.fixture
def backend() -> Counted:
    return Counted(SETTINGS, BackendContext(MODEL))


@pytest.fixture
def right(backend: Counted) -> dict[str, Any]:
    """What a quiet call gives for the second request of two items."""
    check = OutputCheck(backend, SETTINGS, MODEL, Parity())
    return dict(check._expected(2, 1, {})[0])


def test_the_same_outputs_agree_in_whatever_shape_they_came(
    backend: Counted, right: dict[str, Any]
) -> None:
    check = OutputCheck(backend, SETTINGS, MODEL, Parity())
    flat = {name: np.reshape(array, (1, -1)) for name, array in right.items()}
    assert check([(1, right)], 2, KINDS, PARTS) == check([(1, flat)], 2, KINDS, PARTS) == (1, ())


def test_other_outputs_are_said(backend: Counted, right: dict[str, Any]) -> None:
    check = OutputCheck(backend, SETTINGS, MODEL, Parity())
    count, wrong = check([(1, {"output": right["output"] + 1})], 2, KINDS, PARTS)
    assert count == 1
    assert "2 of 2 values" in wrong[0]
    _, wrong = check([(1, {"output": right["output"][:1]})], 2, KINDS, PARTS)
    assert "shape [1]" in wrong[0]
    assert check([(0, right)], 2, KINDS, PARTS)[1]  # those of another request


def test_one_request_is_compared_and_the_quiet_call_made_once(
    backend: Counted, right: dict[str, Any]
) -> None:
    check = OutputCheck(backend, SETTINGS, MODEL, Parity())
    before = backend.prepared
    for _ in range(2):
        assert check([(1, right), (0, right), (1, right)], 2, KINDS, PARTS) == (1, ())
    assert backend.prepared == before + 1
    assert check([], 2, KINDS, PARTS) == (0, ())


def test_the_scenarios_tolerance_and_names_hold_under_load_too(
    backend: Counted, right: dict[str, Any]
) -> None:
    found = [(1, {"output": right["output"] + 0.5})]
    assert OutputCheck(backend, SETTINGS, MODEL, Parity())(found, 2, KINDS, PARTS)[1]
    for rule in (Parity(max_abs_error=0.6), Parity(ignore=("output",))):
        assert OutputCheck(backend, SETTINGS, MODEL, rule)(found, 2, KINDS, PARTS) == (1, ())


def test_a_quantized_model_is_judged_as_int8_under_load(
    backend: Counted, right: dict[str, Any]
) -> None:
    found = [(1, {"output": right["output"] + 0.1 * float(np.std(right["output"]))})]
    assert OutputCheck(backend, SETTINGS, MODEL, Parity())(found, 2, KINDS, PARTS)[1]
    quantized = replace(MODEL, precision="int8")
    assert OutputCheck(backend, SETTINGS, quantized, Parity())(found, 2, KINDS, PARTS) == (1, ())


class Noisy(FakeBackend):
    """Adds an output that is another one at each call."""

    def caller(self) -> FakeCaller:
        caller, rng = super().caller(), np.random.default_rng(0)
        outputs = caller.outputs
        caller.outputs = lambda reply: {**outputs(reply), "noise": rng.random(3)}  # type: ignore[method-assign]
        return caller


def test_what_differs_between_two_quiet_calls_is_not_compared(right: dict[str, Any]) -> None:
    check = OutputCheck(Noisy(SETTINGS, BackendContext(MODEL)), SETTINGS, MODEL, Parity())
    assert check([(1, {**right, "noise": np.zeros(3)})], 2, KINDS, PARTS) == (1, ())
    assert check([(1, {"output": right["output"] + 1, "noise": np.zeros(3)})], 2, KINDS, PARTS)[1]


def test_a_mix_is_compared_with_the_quiet_call_of_its_own_sizes(backend: Counted) -> None:
    inputs = (TensorSpec("x", "float32", ("batch", "length")),)
    model = replace(MODEL, inputs=inputs, dynamic={"length": 9})
    parts = (Part({"length": 2}, 0.5), Part({"length": 9}, 0.5))
    kinds = [(0, 0), (1, 0)]
    check = OutputCheck(backend, SETTINGS, model, Parity())
    short = check._expected(2, 0, {"length": 2})[0]
    assert check([(0, short)], 2, kinds, parts) == (1, ())
    assert check([(1, short)], 2, kinds, parts)[1]
