"""What is said of the time left, in simulated runs whose end is known."""

from __future__ import annotations

import numpy as np
import pytest
from support.rows import measurement
from support.simulated_progress import FACTOR, simulated

from harness.cli.time_left import TimeLeft
from harness.results.events import Discarded, SessionStarted, ToCome
from harness.results.rows import FailureRow


@pytest.mark.parametrize(
    ("kind", "share", "runs"),
    [
        ("sweep", 1.0, 2),
        ("sweep, one backend slow to load", 0.9, 2),  # it comes last, and nobody knows it before
        ("sweep, windows that go on", 0.97, 2),
        ("capacity", 0.97, 2),
        ("capacity, one backend", 0.9, 2),
        ("capacity of two configs", 0.85, 2),
        ("capacity, rounds added until narrow", 0.8, 2),
        ("capacity, narrow at once", 0.7, 2),  # in the first round of five nobody knows it
        ("sweep, rounds added until narrow", 0.9, 2),
        ("halving", 0.9, 1),
        ("halving, many alike", 0.75, 1),  # which are dropped after two rounds is chance
        ("quick", 0.9, 1),
        ("quick within a budget", 0.9, 2),
    ],
)
def test_from_the_second_minute_on_it_is_within_a_factor_of_the_truth(
    kind: str, share: float, runs: int
) -> None:
    ratios = [said.ratio for seed in range(runs) for said in simulated(kind, seed)]
    assert len(ratios) > 50
    assert np.mean(np.asarray(ratios) <= FACTOR) >= share


def test_a_load_counts_apart_from_the_point_that_comes_after_it() -> None:
    now = [100.0]
    left = TimeLeft(lambda: now[0])
    assert left.seconds() is None
    points = ("a/b1/c1", "a/b1/c2", "b/b1/c1")
    left.take(ToCome(0, points, 3.0, 1.5, 10.0))
    assert left.seconds() == 60.0  # as planned: nothing is known
    left.take(SessionStarted("a", "default", 0))
    now[0] += 40.0
    left.take(Discarded("a/b1/c1", 0, 1, 1.0, {}, 0, 1))
    now[0] += 12.0
    left.take(measurement(point="a/b1/c1"))
    now[0] += 12.0
    left.take(FailureRow("a/b1/c2", 0, "a", "died", "signal"))
    found = left.seconds()
    assert found is not None
    # one point of a backend that nobody knows, and a round of three in one and a half sessions
    assert found == pytest.approx(10 + 3 * (12 + 12 + 10) / 3 + 1.5 * 40)
    left.take(ToCome(0, points[1:2], 0.0, 0.0, 10.0))
    now[0] += 5.0
    assert left.seconds() == 0.0  # nothing is left, however long that takes
    left.take(ToCome(0, points[2:], 3.0, 1.5, 10.0, budget=20.0))
    assert left.seconds() == 20.0
