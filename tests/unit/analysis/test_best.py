"""The best point is chosen by intervals: no winner from noise, no failed or invalid point."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
from support.rows import measurement, with_metrics

from harness.analysis.best import INDIFFERENCE, cheapest, choose, indifference_of, ranks
from harness.analysis.metrics import CONFIRMATION
from harness.analysis.objective import THROUGHPUT, single
from harness.analysis.summary import SummaryRow, summarize
from harness.results.rows import FailureRow, MeasurementRow
from harness.scenario.points import Point
from harness.scenario.spec.scenario import Search


def measured(
    name: str, throughputs: list[float], *, concurrency: int = 1, config: str = "default",
    **more: Any,
) -> list[MeasurementRow]:  # fmt: skip
    point = Point(name, config, 1, concurrency=concurrency)
    return [
        measurement(**{
            "point": point.id, "round": n, "backend": name, "config": config,
            "concurrency": concurrency, "throughput": value, "latency_mean_ms": 1e3 / value,
            "latency_ms": {"p50": 1e3 / value, "p90": None, "p95": None, "p99": None, "p999": None},
            **more,
        })
        for n, value in enumerate(throughputs)
    ]  # fmt: skip


def rows_of(*groups: list[MeasurementRow]) -> list[SummaryRow]:
    return summarize([m for group in groups for m in group])


def test_clear_winner() -> None:
    found = choose(rows_of(measured("a", [10, 10.1, 9.9]), measured("b", [20, 20.1, 19.9])),
                   THROUGHPUT, {})  # fmt: skip
    assert found.winner is not None
    assert found.winner.backend == "b"
    assert found.recommended is found.winner


def test_objective_latency_prefers_the_smaller() -> None:
    found = choose(rows_of(measured("a", [10, 10.1, 9.9]), measured("b", [20, 20.1, 19.9])),
                   single("latency_p50_ms"), {})  # fmt: skip
    assert found.winner is not None
    assert found.winner.backend == "b"


def test_tie_recommends_the_cheapest_in_memory() -> None:
    rows = rows_of(
        measured("a", [20, 21, 19], host_memory_mib=500.0),
        measured("b", [20.2, 21.2, 19.1], host_memory_mib=900.0),
        measured("c", [5, 5.1, 4.9], host_memory_mib=10.0),
    )
    found = choose(rows, THROUGHPUT, {})
    assert found.winner is None
    assert {r.backend for r in found.tied} == {"a", "b"}
    assert found.recommended is not None
    assert found.recommended.backend == "a"


def test_cheapest_uses_gpu_memory_where_all_have_it() -> None:
    rows = rows_of(
        measured("a", [20.0], host_memory_mib=1.0, gpu_memory_mib=900.0),
        measured("b", [20.0], host_memory_mib=2.0, gpu_memory_mib=800.0),
    )
    assert cheapest(rows)[0].backend == "b"
    assert cheapest([rows[0], with_metrics(rows[1], gpu_memory_mib=None)])[0].backend == "a"


def test_cheapest_knows_memory_below_the_baseline() -> None:
    """The GPU's, where another process gave some back."""
    rows = rows_of(measured("a", [20.0], gpu_memory_mib=-80.0),
                   measured("b", [20.0], gpu_memory_mib=-90.0))  # fmt: skip
    assert cheapest(rows)[0].backend == "b"


def test_one_round_decides_nothing() -> None:
    found = choose(rows_of(measured("a", [10.0]), measured("b", [90.0])), THROUGHPUT, {})
    assert found.best is not None
    assert found.best.backend == "b"
    assert (found.winner, found.recommended, found.decidable) == (None, None, False)


def test_invalid_and_partly_failed_points_are_never_chosen() -> None:
    rows = summarize(
        [
            *measured("slow", [10, 10.1, 9.9]),
            *measured("wrong", [99, 99.1, 98.9], flags=("parity",)),
            *measured("flaky", [80, 80.1]),
        ],
        [FailureRow("flaky/b1/c1", 2, "flaky", "died", "signal 11")],
    )
    found = choose(rows, THROUGHPUT, {})
    assert [r.backend for r in found.candidates] == ["slow"]
    assert set(ranks(rows, THROUGHPUT)) == {"slow/b1/c1"}


def test_constraints_are_judged_by_the_interval() -> None:
    rows = rows_of(measured("a", [10, 10.1, 9.9]), measured("b", [20, 22, 18]))

    def chosen(limit: float) -> list[str]:  # fmt: skip
        bounds = {"throughput": {"max": limit}}
        return [r.backend for r in choose(rows, THROUGHPUT, bounds).candidates]

    assert chosen(40) == ["b", "a"]
    assert chosen(20.5) == ["a"]  # b's value is below, its interval is not
    assert chosen(5) == []


def test_constraint_on_a_percentile_that_is_na_is_not_shown_to_hold() -> None:
    rows = rows_of(measured("a", [10, 10.1, 9.9]))
    assert choose(rows, THROUGHPUT, {"latency_p99_ms": {"max": 1e9}}).best is None


def test_percentile_beyond_the_timeout_is_no_candidate() -> None:
    rows = rows_of(measured("a", [10, 11], latency_ms={"p50": math.inf}))
    assert choose(rows, single("latency_p50_ms"), {}).best is None


def test_ranks_run_in_groups() -> None:
    rows = rows_of(
        measured("a", [20, 21, 19]), measured("b", [20.2, 21.2, 19.1]),
        measured("c", [5, 5.05, 4.95]), measured("d", [1, 1.01, 0.99]),
    )  # fmt: skip
    found = ranks(rows, THROUGHPUT)
    assert found == {"b/b1/c1": "1=", "a/b1/c1": "1=", "c/b1/c1": "3", "d/b1/c1": "4"}


def test_a_slower_point_is_no_tie_where_all_rounds_show_it() -> None:
    """Its intervals overlap the better one's, but every round has the same luck for both."""
    rows = rows_of(measured("a", [100, 140, 75]), measured("b", [70, 100, 50]))
    found = choose(rows, THROUGHPUT, {})
    assert found.winner is not None
    assert found.winner.backend == "a"


def test_a_wide_interval_lifts_no_point_above_a_better_one() -> None:
    """4,800 (3,500–6,600) can't be told from what is best here, 5,900, but 5,420 can."""
    rng = random.Random(3)
    steady = {"best": 5900, "next": 5420, "third": 5416, "last": 4640, "far": 900, "more": 910,
              "else": 905}  # fmt: skip
    groups = [measured(name, [value * math.exp(rng.gauss(0, 0.001)) for _ in range(5)])
              for name, value in steady.items()]  # fmt: skip
    wide = measured("wide", [4620, 4791, 5485, 3280, 6450])
    rows = rows_of(wide, *groups)
    value = rows[0].throughput
    assert value is not None and value.low is not None and value.high is not None
    assert (round(value.value, -2), round(value.low, -2), round(value.high, -2)) == (
        4800, 3500, 6600,
    )  # fmt: skip
    found = ranks(rows, THROUGHPUT)
    names = [point.partition("/")[0] for point in found]
    assert names[:5] == ["best", "next", "third", "wide", "last"]
    assert found["best/b1/c1"] == "1"
    assert found["next/b1/c1"] == found["third/b1/c1"] == found["wide/b1/c1"] == "2="
    place = [int(rank.rstrip("=")) for rank in found.values()]
    assert place == sorted(place)


@pytest.mark.parametrize("count", [2, 4, 8])
def test_equal_points_seldom_have_a_winner(count: int) -> None:
    """A/A: among points that are the same, one is called best in at most about 5 % of runs."""
    rng = random.Random(count)
    false = 0
    for _ in range(400):
        groups = [
            measured(f"m{i}", [math.exp(rng.gauss(3, 0.02)) for _ in range(3)])
            for i in range(count)
        ]
        false += choose(rows_of(*groups), THROUGHPUT, {}).winner is not None
    assert false / 400 <= 0.075  # 5 % and three standard errors, less for more than two


def test_what_a_search_gave_up_is_neither_best_nor_tied() -> None:
    """It was beaten in its only round, by one whose later rounds were slower than that."""
    rows = rows_of(
        measured("t", [25], config="lucky"), measured("t", [26, 16, 18], config="a"),
        measured("t", [20, 19, 21], config="b"),
    )  # fmt: skip
    found = choose(rows, THROUGHPUT, {})
    assert {r.config for r in found.tied} == {"a", "b"}
    assert found.decidable
    assert [r.config for r in found.candidates][-1] == "lucky"
    assert ranks(rows, THROUGHPUT) == {
        "t/a/b1/c1": "1=", "t/b/b1/c1": "1=", "t/lucky/b1/c1": "3",
    }  # fmt: skip


@pytest.mark.parametrize("config", ["default", "i2"])
def test_a_run_that_ended_before_the_best_was_repeated_names_no_best(config: str) -> None:
    """Without a search, or in one before it could give anything up."""
    rows = rows_of(
        measured("t", [20, 20.1]), measured("t" if config == "i2" else "u", [40], config=config),
        measured("v", [5]),
    )  # fmt: skip
    found = choose(rows, THROUGHPUT, {})
    assert found.best is not None
    assert (found.best.throughput.value, found.decidable) == (40, False)  # type: ignore[union-attr]
    assert found.winner is None and found.recommended is None


def test_a_repeated_point_is_no_winner_over_other_backends_that_were_not() -> None:
    found = choose(rows_of(measured("a", [20, 20.1]), measured("b", [19.9])), THROUGHPUT, {})
    assert found.winner is None
    assert not found.decidable


def test_what_looks_much_worse_is_tied_but_not_recommended() -> None:
    """Wide intervals hold b in the tie; that it needs less memory is no reason to take it.

    Each has its slow round elsewhere: were it the same one, b would be slower by 1.4 in each.
    """
    rows = rows_of(
        measured("a", [100, 140, 75], host_memory_mib=900.0),
        measured("b", [70, 50, 100], host_memory_mib=100.0),
        measured("c", [98, 76, 135], host_memory_mib=500.0),
    )
    found = choose(rows, THROUGHPUT, {})
    assert {r.backend for r in found.tied} == {"a", "b", "c"}
    assert found.recommended is not None
    assert found.recommended.backend == "c"
    wide = choose(rows, THROUGHPUT, {}, indifference=0.5).recommended
    assert wide is not None
    assert wide.backend == "b"
    lone = choose(rows, THROUGHPUT, {}, indifference=0.001)
    assert [r.backend for r in lone.close] == ["a"]
    assert lone.recommended is lone.best


def test_sizes_that_are_about_the_same_leave_it_to_the_value() -> None:
    better, worse = rows_of(
        measured("better", [20, 21, 19], host_memory_mib=505.0),
        measured("worse", [19.9, 20.9, 18.9], host_memory_mib=500.0),
    )
    assert cheapest([better, worse]) == [better, worse]
    assert choose([better, worse], THROUGHPUT, {}).recommended is better
    assert cheapest([with_metrics(better, host_memory_mib=520.0), worse]) == [worse]


def ends(
    name: str, throughputs: list[float], p99: list[float], memory: float
) -> list[MeasurementRow]:
    """Rounds with a p99, in ms."""
    rows = measured(name, throughputs, host_memory_mib=memory)
    return [
        replace(r, latency_ms={**r.latency_ms, "p99": ms}) for r, ms in zip(rows, p99, strict=True)
    ]


def test_of_equal_value_and_memory_the_shorter_tail_is_taken() -> None:
    """On an H200 21,060 inferences a second with 13.4 ms were taken over as many with 12.5."""
    long = ends("long", [100, 101, 99], [13.4, 13.3, 13.5], 1804.0)
    short = ends("short", [100.4, 100.2, 99.2], [12.4, 12.5, 12.5], 1806.0)
    shortest = ends("shortest", [99.0, 101.3, 99.4], [12.0, 12.1, 12.0], 1806.0)
    found = choose(rows_of(long, short, shortest), THROUGHPUT, {})
    assert found.recommended is not None
    assert (found.recommended.backend, found.tail) == ("shortest", "latency_p99_ms")


@pytest.mark.parametrize(("throughputs", "p99", "memory"), [
    ([100.4, 100.2, 99.2], [12.4, 14.5, 11.0], 1806.0),  # not shown to be shorter
    ([97.9, 98.9, 96.9], [12.4, 12.5, 12.5], 1806.0),  # a worse value, round by round
    ([95.0, 103.0, 96.0], [12.4, 12.5, 12.5], 1806.0),  # a worse value, not shown to be
    ([100.4, 100.2, 99.2], [12.4, 12.5, 12.5], 2000.0),  # more memory
])  # fmt: skip
def test_a_tail_decides_nothing_else(
    throughputs: list[float], p99: list[float], memory: float
) -> None:
    long = ends("long", [100, 101, 99], [13.4, 13.3, 13.5], 1804.0)
    found = choose(rows_of(long, ends("other", throughputs, p99, memory)), THROUGHPUT, {})
    assert found.recommended is not None
    assert (found.recommended.backend, found.tail) == ("long", "")


def test_the_zone_is_the_scenarios() -> None:
    assert indifference_of({"search": {"indifference": 0.2}}) == 0.2
    assert indifference_of({}) == INDIFFERENCE == Search.model_validate({}).indifference


def test_rounds_after_the_choice_hold_the_truth_that_the_winners_own_do_not() -> None:
    """The best of 24 equal configs in five rounds, 3 % of scatter: the truth is 100."""
    rng = random.Random(11)

    def rounds(count: int) -> list[float]:
        return [100 * math.exp(rng.gauss(0, 0.03)) for _ in range(count)]

    own = after = 0
    searches = 120
    for _ in range(searches):
        rows = rows_of(*(measured("t", rounds(5), config=f"i{i}") for i in range(24)))
        best = choose(rows, THROUGHPUT, {}).recommended
        assert best is not None
        stage = {"stage": CONFIRMATION}
        again = measured("t", rounds(3), config=best.config, details=stage)
        later = [replace(m, round=m.round + 5) for m in again]
        (row,) = summarize([*best.measurements, *later])
        assert row.throughput == best.throughput  # they take no part
        own += _holds(row, 100)
        after += _holds(row.confirmed, 100)
    assert own / searches < 0.8
    assert after / searches >= 0.93 - 3 * math.sqrt(0.05 * 0.95 / searches)


def _holds(row: SummaryRow | None, truth: float) -> bool:
    assert row is not None and row.throughput is not None
    return row.throughput.low <= truth <= row.throughput.high


def test_a_shorter_input_is_faster_and_not_better() -> None:
    """Points of several sizes are ranked at the largest, or at the mix; also where that is slow."""
    small = measured("a", [90, 91, 89], sizes="s=8", point="a/b1,s=8/c1")
    large = [
        measured(name, [value, value + 1, value - 1], sizes="s=64", point=f"{name}/b1,s=64/c1")
        for name, value in (("a", 20), ("b", 30))
    ]
    rows = rows_of(small, *large)
    found = choose(rows, THROUGHPUT, {})
    assert [r.point for r in found.candidates] == ["b/b1,s=64/c1", "a/b1,s=64/c1"]
    assert set(ranks(rows, THROUGHPUT)) == {"b/b1,s=64/c1", "a/b1,s=64/c1"}
    lost = FailureRow("c/b1,s=mix/c1", 0, "c", "oom", "out of memory")
    assert (
        choose(summarize([m for r in rows for m in r.every], [lost]), THROUGHPUT, {}).best is None
    )


def test_a_point_of_which_all_rounds_but_one_were_disturbed_is_not_taken_for_dropped() -> None:
    """It has no interval, as a config that a search gave up; but nothing showed it to be worse."""
    rounds = [{}, {"flags": ("foreign_load",)}, {"flags": ("foreign_load",)}]
    disturbed = [
        replace(row, **more)
        for row, more in zip(measured("t", [20, 9, 9], config="i2"), rounds, strict=True)
    ]
    rows = rows_of(measured("t", [20.2, 20.1, 20.3]), disturbed)
    found = choose(rows, THROUGHPUT, {})
    assert found.winner is None and {r.config for r in found.tied} == {"default", "i2"}
    assert set(ranks(rows, THROUGHPUT).values()) == {"1="}
