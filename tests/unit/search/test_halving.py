"""Which configs stay: what is not clearly worse, and never by a single round."""

from __future__ import annotations

import pytest
from support.rows import point

from harness.analysis.objective import THROUGHPUT, parse_objective
from harness.analysis.summary import SummaryRow
from harness.search.halving import breaks, not_clearly_worse
from harness.search.space import Goal

SLOW = {"throughput": {"min": 90.0}}


def row(config: str, *throughputs: float, **more: object) -> SummaryRow:
    return point(throughputs, config=config, **more)


@pytest.mark.parametrize(("rounds", "broken"), [(1, False), (2, True), (3, True)])
def test_one_round_alone_breaks_nothing(rounds: int, broken: bool) -> None:
    values = [50.0, 50.1, 49.9][:rounds]
    assert breaks(row("a", *values), Goal(THROUGHPUT, SLOW)) is broken


def test_what_holds_or_may_hold_breaks_nothing() -> None:
    goal = Goal(THROUGHPUT, SLOW)
    assert not breaks(row("a", 100.0, 100.1), goal)
    assert not breaks(row("a", 60.0, 110.0), goal)  # its interval lies on both sides


def test_what_broke_a_bound_in_one_round_stays_for_another() -> None:
    rows = {"default": [row("default", 95.0)], "a": [row("a", 50.0)], "b": [row("b", 100.0)]}
    assert not_clearly_worse(rows, Goal(THROUGHPUT, SLOW)) == ["default", "a", "b"]
    more = {"default": [row("default", 95.0, 95.1, 95.2)], "a": [row("a", 50.0, 50.1, 50.2)]}
    assert not_clearly_worse(more, Goal(THROUGHPUT, SLOW)) == ["default"]


def test_of_a_front_what_is_beaten_goes() -> None:
    goal = Goal(parse_objective(["throughput", "gpu_memory_mib"]), {})

    def sized(config: str, throughput: float, memory: float) -> list[SummaryRow]:
        wobble = [throughput * w for w in (1.0, 1.001, 0.999)]
        return [row(config, *wobble, gpu_memory_mib=memory)]

    rows = {"default": sized("default", 1, 900), "fast": sized("fast", 200, 900),
            "small": sized("small", 100, 100), "bad": sized("bad", 50, 500)}  # fmt: skip
    assert not_clearly_worse(rows, goal) == ["default", "fast", "small"]
