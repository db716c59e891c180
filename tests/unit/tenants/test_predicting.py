"""Pairs predicted from stressors, where the truth is known."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.shared import USES, slow_down

from harness.tenants.predicting import (
    Probed,
    by_igniter,
    by_utilisation,
    errors,
    mean,
    mixtures,
    predict,
)

STRESSORS = [name for name in USES if name.startswith("stress-")]
MEMORY, COPIES, LAUNCHES = STRESSORS[1:]


@pytest.fixture
def probed() -> Probed:
    needed = Probed(["a", "b"], STRESSORS, {}).needed
    return Probed(["a", "b"], STRESSORS, {pair: slow_down(*pair) for pair in needed})


def test_where_stations_share_evenly_pairs_that_never_ran_are_known(probed: Probed) -> None:
    found = predict(probed)
    assert set(found) == {(x, y) for x in "ab" for y in "ab"}
    for pair, value in found.items():
        assert value == pytest.approx(slow_down(*pair), rel=0.01)


def test_a_tenant_acts_like_the_resource_that_it_uses(probed: Probed) -> None:
    parts = mixtures(probed)
    assert max(parts["a"], key=parts["a"].__getitem__) == "stress-compute"
    assert max(parts["b"], key=parts["b"].__getitem__) == MEMORY
    assert parts["b"][COPIES] > parts["a"][COPIES]
    assert all(part >= 0 for each in parts.values() for part in each.values())


def test_one_that_slows_nothing_down_slows_nobody_down(probed: Probed) -> None:
    idle = dict(probed.slow_down) | {(s, "b"): 0.97 for s in STRESSORS}
    found = predict(Probed(["a", "b"], STRESSORS, idle))
    assert found["a", "b"] == 1.0
    assert found["b", "a"] > 1.0


def test_nothing_is_known_while_a_run_is_missing(probed: Probed) -> None:
    assert probed.known
    for pair in probed.slow_down:
        less = {other: slow for other, slow in probed.slow_down.items() if other != pair}
        assert not Probed(["a", "b"], STRESSORS, less).known
    assert not Probed(["a", "b"], [], {}).known


def test_what_it_is_compared_with(probed: Probed) -> None:
    busy = {"a": 0.3, "b": 0.9}
    assert by_utilisation(probed, busy) == {
        ("a", "a"): 1.0, ("a", "b"): pytest.approx(1.2), ("b", "a"): pytest.approx(1.2),
        ("b", "b"): pytest.approx(1.8),
    }  # fmt: skip
    own = slow_down(MEMORY, MEMORY) - 1
    share = (slow_down(MEMORY, "b") - 1) / own
    memory = share * (slow_down("a", MEMORY) - 1)
    assert by_igniter(probed, MEMORY, None, None)["a", "b"] == pytest.approx(1 + memory)
    copies = (slow_down(COPIES, "b") - 1) / (slow_down(COPIES, COPIES) - 1)
    more = copies * (slow_down("a", COPIES) - 1) + slow_down("a", LAUNCHES) - 1
    found = by_igniter(probed, MEMORY, COPIES, LAUNCHES)
    assert found["a", "b"] == pytest.approx(1 + memory + more)
    unharmed = dict(probed.slow_down) | {(MEMORY, MEMORY): 1.0}
    assert Probed(["a", "b"], STRESSORS, unharmed).share(MEMORY, "a") == 0.0


def test_errors_are_shares_of_the_truth() -> None:
    assert errors({("a", "b"): 1.1, ("b", "a"): 2.0}, {("a", "b"): 1.0}) == [pytest.approx(0.1)]
    assert mean([]) is None
    assert mean([1.0, 2.0]) == 1.5


@pytest.fixture
def simulation(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("predicted_pairs")


@pytest.mark.parametrize("world", ["even", "half", "spare"])
def test_its_error_is_small_and_below_both_others(simulation: Any, world: str) -> None:
    """benchmarks/predicted_pairs.py in small: 1 % of error in each mean, impure stressors."""
    rng = np.random.default_rng(5)
    every = [simulation.trial(rng, world, 0.01, 0.15) for _ in range(15)]
    ours, igniter, busy = (
        float(np.mean([error for one in every for error in one[name]])) for name in every[0]
    )
    assert ours < (0.02 if world == "even" else 0.05)
    assert ours < igniter < busy


def test_the_page_has_a_row_for_each_case(simulation: Any) -> None:
    text = simulation.page(simulation.simulate(1), 1)
    assert text.count("\n| even |") == text.count("\n| spare |") == 9
    assert "benchmarks/gpu/interference.py" in text
