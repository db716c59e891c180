"""Replicas, memory, and what binds a card."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support import planned

from harness.plan.candidates import points_of
from harness.plan.rounding import Need, Rounded
from harness.plan.sizing import Processes, cheapest, fit, need_of, replicas, size

(SMALL, LARGE) = points_of(planned.run()).holding(50.0).holding


@pytest.mark.parametrize(
    ("rate", "load", "count"), [(500, 100, 5), (501, 100, 6), (1, 100, 1), (0.3, 0.1, 3)]
)
def test_replicas_go_up(rate: float, load: float, count: int) -> None:
    assert replicas(rate, load) == count


def test_several_processes_share_what_the_empty_server_leaves() -> None:
    def wanted(processes: Processes) -> Need:
        found = need_of(SMALL, processes, 0.1, compute=None, card_mib=15_360, factor=1, driver=None)
        assert found is not None
        return found

    one = wanted(Processes(1))
    assert (one.mib, one.process_mib) == (3300, 3300)
    # (3000 − 600) / 2 stubs = 1200, and the server's 600
    three = wanted(Processes(3, 600.0))
    assert (three.mib, three.process_mib) == (3300, 1320)
    # two equal parts where the server was not measured
    assert wanted(Processes(2)).process_mib == 1650
    # no process is planned below the empty server's own
    assert wanted(Processes(9, 600.0)).process_mib == 660


@pytest.mark.parametrize(
    ("per_card", "busy", "compute", "most", "least", "binding"),
    [
        (3, None, None, None, 3, "memory"),
        (40, 20.0, None, 16, 5, "compute"),
        (40, 20.0, 25, 16, 4, "compute"),
        (40, None, None, 16, 16, "the system's limit"),
        (40, 2.0, None, 10, 10, "the system's limit"),
        (None, 20.0, None, 16, None, "unknown"),
    ],
)
def test_the_least_limit_binds(
    per_card: int | None, busy: float | None, compute: int | None, most: int | None,
    least: int | None, binding: str,
) -> None:  # fmt: skip
    need = Need(1000, 1000, busy_percent=busy)
    found = fit(Rounded("1", 1000, per_card, compute), need, most, 12)
    assert (found.per_card, found.binding) == (least, binding)
    assert found.cards == (None if least is None else -(-12 // least))


def test_the_cheapest_has_the_fewest_cards_then_the_least_memory() -> None:
    need = Need(3300, 3300, busy_percent=20.0, card_mib=15_360)
    sized = [size(c, need, planned.demand(3000.0, 50.0)) for c in (SMALL, LARGE)]
    assert [s.cards for s in sized] == [5, 2]
    assert cheapest(sized) is sized[1]
    assert cheapest([]) is None


def test_growth_raises_the_plan_and_leaves_today() -> None:
    found = size(SMALL, None, planned.demand(500.0, growth=1.0))
    assert (found.replicas_now, found.replicas, found.cards) == (4, 7, None)


def test_compute_that_is_asked_for_counts_in_every_fit() -> None:
    """Also where a system has no key for it, and for the cards of the plan itself."""
    need = Need(1000, 1000, compute_percent=50, card_mib=40_000)
    assert fit(Rounded("1", 1000, 40), need, None, 12).per_card == 2
    assert size(SMALL, need, planned.demand(800.0, 50.0)).cards == 3  # six replicas


def test_memory_that_was_measured_as_nothing_is_not_measured() -> None:
    """A device's difference may be 0 or less, where something else gave memory back."""
    processes = Processes(1)
    for mib in (0.0, -12.0):
        found = need_of(
            replace(SMALL, gpu_mib=mib), processes, 0.1, compute=None, card_mib=15_360, factor=1,
            driver=None,
        )  # fmt: skip
        assert found is None
