"""Pairs predicted from stressors, where the truth is known."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from support.paths import ROOT
from support.shared import slow_down

from harness.tenants.predicting import (
    Probed,
    by_igniter,
    by_utilisation,
    errors,
    mean,
    mixtures,
    predict,
)
from harness.tenants.stressors import RESOURCES

STRESSORS = list(RESOURCES)
MEMORY, IN, OUT, LAUNCHES = STRESSORS[1:]
RECORDED = ROOT / "tests" / "data" / "interference_h200.json"


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
    assert parts["b"][OUT] > max(parts["a"][OUT], 0.1 + parts["b"][IN])
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
    assert by_igniter(probed, MEMORY, [], None)["a", "b"] == pytest.approx(1 + memory)
    copies = sum(
        (slow_down(way, "b") - 1) / (slow_down(way, way) - 1) * (slow_down("a", way) - 1)
        for way in (IN, OUT)
    )
    more = copies + slow_down("a", LAUNCHES) - 1
    found = by_igniter(probed, MEMORY, [IN, OUT], LAUNCHES)
    assert found["a", "b"] == pytest.approx(1 + memory + more)
    unharmed = dict(probed.slow_down) | {(MEMORY, MEMORY): 1.0}
    assert Probed(["a", "b"], STRESSORS, unharmed).share(MEMORY, "a") == 0.0


@pytest.mark.parametrize(
    ("bound", "mode", "error"),
    [("gpu", "time-slicing", 0.064), ("gpu", "MPS", 0.116), ("host", "time-slicing", 0.112),
     ("host", "MPS", 0.154)],
)  # fmt: skip
def test_pairs_that_ran_together_on_an_h200(bound: str, mode: str, error: float) -> None:
    """What docs/sharing.md says of the two recordings, in which copies had one stressor."""
    every = json.loads(RECORDED.read_text("utf-8"))["bound"][bound]
    (found,) = (one for one in every if one["mode"] == mode)
    slow = {(row, column): value for row, column, value in found["probed"]}
    truth = {(row, column): value for row, column, value in found["measured"]}
    tenants = list(dict.fromkeys(row for row, _ in truth))
    stressors = list(dict.fromkeys(column for row, column in slow if row == tenants[0]))
    probed = Probed(tenants, stressors, slow)
    assert probed.known
    assert mean(errors(predict(probed), truth)) == pytest.approx(error, abs=0.001)
    igniter = by_igniter(probed, "stress-memory", ["stress-copies"], "stress-launches")
    assert error < (mean(errors(igniter, truth)) or 0.0)


def test_copies_in_and_out_are_two_resources() -> None:
    """One that only copies in and one that only copies out don't slow each other down; one stressor
    for both ways says that they do.
    """
    use = {"in": (0.8, 0.0), "out": (0.0, 0.8), IN: (0.9, 0.0), OUT: (0.0, 0.9),
           "both": (0.45, 0.45)}  # fmt: skip

    def predicted(stressors: list[str]) -> float:
        needed = Probed(["in", "out"], stressors, {}).needed
        slow = {(a, b): 1 + float(np.dot(use[a], use[b])) for a, b in needed}
        return predict(Probed(["in", "out"], stressors, slow))["in", "out"]

    assert predicted([IN, OUT]) == pytest.approx(1.0, abs=0.05)
    assert predicted(["both"]) > 1.25


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
    ours, one_of_copies, igniter, busy = (
        float(np.mean([error for one in every for error in one[name]])) for name in every[0]
    )
    assert ours < (0.02 if world == "even" else 0.05)
    assert ours < igniter < busy
    assert one_of_copies < igniter
    assert world != "even" or ours < one_of_copies


def test_the_page_has_a_row_for_each_case(simulation: Any) -> None:
    text = simulation.page(simulation.simulate(1), 1)
    assert text.count("\n| even |") == text.count("\n| spare |") == 9
    assert "benchmarks/gpu/interference.py" in text
