"""The table of systems: every row is whole, and says what holds it."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plan.systems import SYSTEMS, System, chosen


@pytest.mark.parametrize("system", SYSTEMS.values(), ids=list(SYSTEMS))
def test_a_row_says_in_one_sentence_what_holds_it(system: System) -> None:
    word = "Enforced" if system.enforced else "Advisory"
    assert system.enforcement.startswith(word)
    assert system.enforcement.endswith(".")
    assert all((system.title, system.key, system.unit, system.rule))


def test_the_systems_own_limits() -> None:
    assert (SYSTEMS["ack"].most, SYSTEMS["hami"].most, SYSTEMS["mps"].most) == (16, 10, None)
    assert {name for name, s in SYSTEMS.items() if s.per_process} == {
        "mps", "mps-v3", "device-plugin", "dra-mps", "ecs", "gke",
    }  # fmt: skip


def test_systems_are_chosen_by_name_each_once() -> None:
    assert [s.name for s in chosen(("mps", "ack", "mps"))] == ["mps", "ack"]
    assert len(chosen(())) == len(SYSTEMS)
    with pytest.raises(UsageError, match="no system is called 'cgpu'"):
        chosen(("cgpu",))
