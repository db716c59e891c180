"""Drifts that have a direction over the rounds, and those that have none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from support.rows import measurement

from harness.analysis.drift import moved_one_way, one_way, shift
from harness.analysis.summary import summarize
from harness.measure.distribution import counts_of
from harness.results.rows import MeasurementRow

FLAG = "no_steady_state"


def drifted(
    *moved: float, flags: tuple[str, ...] = (FLAG,), **details: object
) -> list[MeasurementRow]:
    """Rounds of a point whose latency moves by so much from the first half to the second."""
    rows = []
    for number, by in enumerate(moved):
        latency = (10e6 * (1 + 2 * by * np.linspace(-0.5, 0.5, 1000))).astype(np.int64)
        counts = counts_of(latency, np.zeros(1000, bool))
        row = measurement(round=number, flags=flags)
        rows.append(replace(row, details={**row.details, "latency_counts": counts, **details}))  # type: ignore[typeddict-item]
    return rows


def valid(rows: list[MeasurementRow]) -> bool:
    (row,) = summarize(rows)
    return row.valid


@pytest.mark.parametrize("by", [-0.2, 0.0, 0.05, 0.3])
def test_the_shift_is_that_between_the_halves(by: float) -> None:
    line = np.linspace(1 - by, 1 + by, 1000)
    halves = line[500:].mean() - line[:500].mean()
    means = np.array([part.mean() for part in np.split(line, 5)])
    assert shift(means) == pytest.approx(halves, abs=1e-3)


@pytest.mark.parametrize(("moved", "expected"), [
    ((0.1,), True), ((0.1, 0.02), True), ((0.1, -0.02), False), ((-0.05, -0.2, -0.01), True),
    ((0.1, 0.12, 0.11, -0.01), True), ((0.4, 0.15, -0.16, -0.02), False),
])  # fmt: skip
def test_one_way_is_all_of_them_or_their_mean(moved: tuple[float, ...], expected: bool) -> None:
    assert one_way(moved) == expected


def test_a_point_that_wanders_is_believed_and_one_that_drifts_is_not() -> None:
    """On an H200 14 of 18 points were invalid for drifts of both signs in fresh processes."""
    wandering, drifting = drifted(-0.13, 0.08, 0.08, -0.13), drifted(-0.13, -0.08, -0.08, -0.13)
    assert valid(wandering)
    assert not valid(drifting)
    assert FLAG in summarize(wandering)[0].flags  # it is still said


def test_other_rules_count_as_before() -> None:
    assert not valid(drifted(-0.1, 0.1, flags=(FLAG, "warm_up_leak")))
    assert not valid(drifted(0.1, 0.1, -0.1, -0.1, flags=("littles_law",)))


def test_where_the_direction_is_not_known_the_flags_decide() -> None:
    rows = [measurement(round=n, flags=(FLAG,)) for n in range(4)]
    assert moved_one_way(rows)
    assert not valid(rows)
    assert not valid(drifted(-0.1, 0.1, turns=40))  # two backends in turns: by their ratio
