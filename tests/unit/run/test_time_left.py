"""What is said of the time left, in simulated runs whose end is known."""

from __future__ import annotations

import numpy as np
import pytest
from support.rows import measurement
from support.simulated_progress import simulated

from harness.results.events import Discarded, PointStarted, SessionStarted, ToCome
from harness.results.rows import FailureRow
from harness.run.time_left import FACTOR, TimeLeft


@pytest.mark.parametrize(
    ("kind", "share", "runs"),
    [
        ("sweep", 1.0, 2),
        ("sweep, one backend slow to load", 0.9, 2),  # it comes last, and nobody knows it before
        ("sweep, windows that go on", 0.97, 2),
        ("capacity", 0.97, 2),
        ("capacity, one backend", 0.9, 2),
        ("capacity of two configs", 0.9, 2),
        ("capacity, rounds added until narrow", 0.9, 2),
        ("capacity, narrow at once", 0.9, 2),
        ("sweep, rounds added until narrow", 0.9, 2),
        ("grid, 10 % noise", 0.95, 1),
        ("halving", 0.95, 1),
        ("halving, many alike", 0.95, 1),
        ("halving, 5 % noise", 0.9, 1),
        ("halving, 20 % noise", 0.9, 1),
        ("quick", 0.9, 1),
        ("quick, 5 % noise", 0.9, 2),
        ("quick within a budget", 0.9, 2),
    ],
)
def test_from_the_second_minute_on_it_is_true(kind: str, share: float, runs: int) -> None:
    """One number is within a factor of 1.5 of the truth, a range holds it and is not very wide."""
    said = [said for seed in range(runs) for said in simulated(kind, seed)]
    assert len(said) > 50
    assert np.mean([s.right for s in said]) >= share
    ranges = [s.high / s.low for s in said if s.ranged]
    assert not ranges or np.median(ranges) < 6


def test_a_search_does_not_count_up() -> None:
    """Beside what windows take, the upper end grows in few readings, and then by little."""
    grown = [s.grown for k in ("halving, 5 % noise", "quick, 5 % noise") for s in simulated(k, 0)]
    assert np.mean(np.asarray(grown) > 1.1) < 0.08


def test_a_load_counts_apart_from_the_point_that_comes_after_it() -> None:
    now = [100.0]
    left = TimeLeft(lambda: now[0])
    assert left.seconds() is None
    points = ("a/b1/c1", "a/b1/c2", "b/b1/c1")
    more = (3.0, 1.5)
    left.take(ToCome(0, points, more, more, 10.0))
    assert left.seconds() == (pytest.approx(60.0), pytest.approx(60.0))  # as planned
    left.take(SessionStarted("a", "default", 0))
    now[0] += 31.0
    left.take(PointStarted("a/b1/c1", 0))
    now[0] += 9.0
    left.take(Discarded("a/b1/c1", 0, 1, 1.0, {}, 0, 1))
    now[0] += 12.0
    left.take(measurement(point="a/b1/c1"))
    now[0] += 12.0
    left.take(FailureRow("a/b1/c2", 0, "a", "died", "signal"))
    # one point of a backend that nobody knows, and a round of three in one and a half sessions
    expected = 10 + 3 * (12 + 12 + 10) / 3 + 1.5 * 40
    assert left.seconds() == (pytest.approx(expected), pytest.approx(expected))
    left.take(SessionStarted("a", "other", 0))  # a process of its own no more: nothing is discarded
    now[0] += 3.0
    left.take(PointStarted("a/b1/c1", 0))
    now[0] += 12.0
    left.take(measurement(point="a/b1/c1"))
    assert (left.seconds() or (0.0,))[0] == pytest.approx(10 + 34 + 1.5 * (40 + 3) / 2)
    left.take(ToCome(0, points[1:2], (0, 0), (0, 0), 10.0))
    now[0] += 5.0
    assert left.seconds() == (0.0, 0.0)  # nothing is left, however long that takes
    left.take(ToCome(0, points[2:], more, more, 10.0, budget=20.0))
    assert left.seconds() == (pytest.approx(20.0), pytest.approx(20.0))


def test_ends_that_are_far_apart_are_both_said_and_others_are_one_number() -> None:
    left = TimeLeft(lambda: 100.0)
    left.take(ToCome(0, ("a/b1/c1",), (0.0, 0.0), (90.0, 0.0), 10.0))
    low, high = left.seconds() or (0.0, 0.0)
    assert (low, high) == (pytest.approx(0.9 * 10), pytest.approx(1.1 * 910))
    left.take(ToCome(0, ("a/b1/c1",), (8.0, 0.0), (14.0, 0.0), 10.0))
    low, high = left.seconds() or (0.0, 0.0)
    assert low == high == pytest.approx((90 * 150) ** 0.5)
    assert low / FACTOR < 90
    assert low * FACTOR > 150
