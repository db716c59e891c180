"""Phases, recovery, saturation, errors: read off requests that are made up."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from support.stress import records

from harness.stress.answers import PHASE_COLUMNS
from harness.stress.timeline import (
    PhaseResult,
    Timeline,
    error_kinds,
    open_at,
    phase_results,
    quantile,
    recovery,
    saturation,
    seconds_of,
)
from harness.swarm.shapes import Phase

START = 5_000_000_000


def line(due: object, latency_ms: object, ok: object = True) -> Timeline:
    return Timeline.of(records(due, latency_ms, ok), START)


def test_phases_count_by_when_requests_were_due() -> None:
    due = np.arange(0, 10, 0.1)
    found = phase_results(
        line(due, 5.0, due < 9), [Phase("a", 0, 5, 1, 1), Phase("b", 5, 20, 1, 3)], until=10
    )
    a, b = found
    assert (a.requests, a.error_rate, a.p50_ms) == (50, 0, pytest.approx(5.0))
    assert (a.p99_ms, a.p999_ms, a.most_ms) == (None, None, pytest.approx(5.0))  # 50 are too few
    assert (b.end, b.level, b.requests) == (10, 2, 50)
    assert b.error_rate == pytest.approx(0.2)
    assert b.most_ms is not None
    assert math.isinf(b.most_ms)
    assert b.goodput == pytest.approx(8, abs=0.3)


def test_a_tail_is_known_from_as_many_requests_as_in_a_runs_rows() -> None:
    due = np.linspace(0, 10, 700, endpoint=False)
    (whole,) = phase_results(line(due, 5.0, due < 9.95), [Phase("a", 0, 10, 1, 1)], until=10)
    assert (whole.p99_ms, whole.p999_ms) == (pytest.approx(5.0), None)
    (failing,) = phase_results(line(due, 5.0, due < 9), [Phase("a", 0, 10, 1, 1)], until=10)
    assert (failing.p50_ms, failing.p99_ms) == (pytest.approx(5.0), math.inf)
    (few,) = phase_results(line(due[:90], 5.0), [Phase("a", 0, 2, 1, 1)], until=2)
    assert PHASE_COLUMNS["p99"](few) == "n/a"
    assert PHASE_COLUMNS["p99"](whole) == "5.00 ms"


def test_open_requests_are_due_and_not_over() -> None:
    found = line([0, 1, 2], [3000, 500, 10])
    assert [open_at(found, t) for t in (0.5, 1.2, 1.8, 4)] == [1, 2, 1, 0]


def test_quantiles_are_exact_with_failures_last() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0])
    assert quantile(values, np.array([True, True, True, False]), 0.5) == 2.0
    assert quantile(values, np.array([True, True, True, False]), 0.99) == math.inf
    assert quantile(values[:0], np.empty(0, bool), 0.5) is None


def outage(begin: float, end: float, slow_until: float = 0.0) -> Timeline:
    due = np.arange(0, 30, 0.05)
    ok = (due < begin) | (due >= end)
    return line(due, np.where((due >= end) & (due < slow_until), 100.0, 5.0), ok)


def test_what_users_send_before_and_after_the_load_is_not_of_it() -> None:
    whole = line(np.arange(-1, 8, 0.5), 5)
    part = whole.cut(6.0)
    assert (part.due[0], part.due[-1]) == (0.0, 5.5)
    assert {len(part.done), len(part.kind), len(part.ok), len(part.slip_ms)} == {12}


def test_recovery_is_from_the_fault_to_answers_as_before() -> None:
    found = recovery(outage(10, 12, 13), "kill", 10.0, (0, 10), 30)
    assert found is not None
    assert found.seconds == pytest.approx(3.0, abs=0.06)
    assert (found.failed, found.slow) == (40, 20)
    assert found.outage == pytest.approx(1.95, abs=0.01)


def test_who_was_never_disturbed_recovered_at_once_and_who_stays_away_never() -> None:
    never, always = outage(40, 41), outage(10, 31)
    at_once = recovery(never, "pause", 10.0, (0, 10), 30)
    assert at_once is not None
    assert at_once.seconds == 0.0
    gone = recovery(always, "kill", 10.0, (0, 10), 30)
    assert gone is not None
    assert gone.seconds is None
    assert recovery(line([1, 2], 5, False), "kill", 1.5, (0, 1.5), 3) is None


def test_an_outage_that_begins_late_counts_from_the_fault() -> None:
    found = recovery(outage(12, 14), "kill", 10.0, (0, 10), 30)
    assert found is not None
    assert found.seconds == pytest.approx(4.0, abs=0.06)


def test_a_fault_that_harms_late_is_over_when_it_was_undone() -> None:
    """An unloading waits for what runs: requests are fine at first, and between two outages."""
    late, due = outage(12, 14), outage(12, 14).due
    twice = replace(late, ok=late.ok & ~((due >= 17) & (due < 18)))
    found = recovery(twice, "unload", 10.0, (0, 10), 30, undone=18.5)
    assert found is not None
    assert found.seconds == pytest.approx(8.0, abs=0.06)
    assert found.failed == 60
    again = recovery(twice, "unload", 10.0, (0, 10), 30, undone=15.0)
    assert again is not None
    assert again.seconds == pytest.approx(4.0, abs=0.06), "what comes later is not its doing"


def bins(levels: list[float], capacity: float) -> list[PhaseResult]:
    return [
        PhaseResult("", i * 10.0, i * 10.0 + 10, v, int(v * 10), v, min(v, capacity), 0, 0,
                    1, 1, 1, 0, 0)
        for i, v in enumerate(levels)
    ]  # fmt: skip


@pytest.mark.parametrize(("capacity", "level"), [(45.0, 50.0), (25.0, 30.0), (1000.0, None)])
def test_a_rate_saturates_where_it_is_not_kept_up_with(
    capacity: float, level: float | None
) -> None:
    found = saturation(bins([10, 20, 30, 40, 50, 60], capacity), by_rate=True)
    assert found is not None
    assert found.level == level
    assert found.goodput == min(capacity, 60)


def test_users_saturate_where_more_of_them_bring_no_more() -> None:
    made = [
        PhaseResult("", i, i + 1.0, users, 0, 0, goodput, 0, 0, 1, 1, 1, 0, 0)
        for i, (users, goodput) in enumerate([(1, 50), (2, 98), (3, 101), (4, 100)])
    ]
    found = saturation(made, by_rate=False)
    assert found is not None
    assert found.level == 2
    assert saturation(made[:2], by_rate=False) is None


def test_the_few_that_are_open_at_the_edge_are_no_saturation() -> None:
    made = bins([1, 2, 3], 1000)
    short = [*made[:2], PhaseResult("", 20, 30, 3, 30, 3, 2.6, 0, 0, 1, 1, 1, 0, 0)]
    found = saturation(short, by_rate=True)
    assert found is not None
    assert found.level is None


def test_error_kinds_say_how_often_and_when() -> None:
    (kind,) = error_kinds(line([1, 2, 3], 0.0, [True, False, False]), ("", "broken"))
    assert (kind.kind, kind.count, kind.first, kind.last) == ("broken", 2, 2.0, 3.0)


def test_seconds_cover_the_axis() -> None:
    found = list(seconds_of(line([0.2, 1.2, 2.4], 1.0), 2.5))
    assert [t for t, _ in found] == [0.5, 1.5, 2.5]
    assert [s.stop - s.start for _, s in found] == [1, 1, 1]
