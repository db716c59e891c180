"""Turns joined to one window: what is counted, what is left out, and a ratio that moves."""

from __future__ import annotations

import numpy as np
import pytest
from support.turns import turn

from harness.load.plan import WindowSettings
from harness.measure.reduce import reduce
from harness.measure.turns import Turn, enough, join, ratio_moved, requests, turn_settings
from harness.results.samples import ERROR

PLANNED = WindowSettings(
    warmup=2.0, warmup_requests=20, window=1.0, window_requests=100, window_max=3.0,
    request_timeout=30.0,
)  # fmt: skip


def test_what_lies_between_turns_is_left_out() -> None:
    turns = [turn(0, 2.0), turn(500, 4.0), turn(900, 2.0)]
    window, samples = join(turns, PLANNED)
    assert window.seconds == pytest.approx(0.3)
    assert window.end_ns == turns[-1][0].end_ns
    found = reduce(samples, window.begin_ns, window.end_ns, 1)
    assert found.requests == requests(turns) == 50 + 25 + 50
    assert found.throughput == pytest.approx(125 / 0.3, rel=0.01)
    assert found.latency_mean_ms == pytest.approx((100 * 2 + 25 * 4) / 125)
    assert found.latency_ms["p50"] == pytest.approx(2.0)


def test_the_first_turns_warm_up_is_kept_before_the_window_and_no_other() -> None:
    window, samples = join([turn(0, 2.0), turn(500, 4.0)], PLANNED)
    assert int((samples.done <= window.begin_ns).sum()) == 3
    assert (np.diff(samples.done) >= 0).all()
    assert int((samples.done > window.end_ns).sum()) == 0


def test_counters_stand_still_between_turns() -> None:
    window, samples = join([turn(0, 2.0), turn(500, 2.0), turn(900, 2.0)], PLANNED)
    assert window.after["count"] - window.before["count"] == 30
    assert window.cpu_percent == pytest.approx(100 * 0.15 / 0.3)
    assert samples.messages == {"boom": 3}


def test_a_window_of_too_few_requests_is_cut() -> None:
    assert join([turn(0, 2.0)], PLANNED)[0].cut
    assert not join([turn(0, 2.0), turn(500, 2.0)], PLANNED)[0].cut


@pytest.mark.parametrize(
    ("number", "each", "said"),
    [(9, 1.0, False), (10, 1.0, True), (10, 20.0, False), (20, 20.0, True), (30, 50.0, True)],
)
def test_turns_are_enough_by_length_and_number_or_where_they_may_not_be_longer(
    number: int, each: float, said: bool
) -> None:
    assert enough(PLANNED, [turn(300 * i, each) for i in range(number)]) is said


def test_only_the_first_turn_is_warmed_up_as_planned() -> None:
    first = turn_settings(PLANNED, 0.1, 4, first=True)
    later = turn_settings(PLANNED, 0.1, 4, first=False)
    assert (first.warmup, first.warmup_requests) == (2.0, 20)
    assert (later.warmup, later.warmup_requests) == (pytest.approx(0.01), 4)
    assert (later.window, later.window_requests, later.window_max) == (0.1, 20, 3.0)


def weather(rng: np.random.Generator, number: int) -> list[float]:
    """A machine's speed, which both backends meet: it wanders, and falls by a quarter."""
    steps = np.cumsum(rng.normal(0, 0.05, number)) + np.linspace(0, 0.3, number)
    return [float(v) for v in np.exp(steps)]


def series(
    rng: np.random.Generator, speeds: list[float], ms: float, at: float, moves: float = 0.0
) -> list[Turn]:
    half = len(speeds) // 2
    return [
        turn(400 * i + at, ms * s * (1 + moves * (i >= half)) * float(np.exp(rng.normal(0, 0.02))))
        for i, s in enumerate(speeds)
    ]


def test_what_falls_on_both_moves_no_ratio_and_what_is_ones_own_does() -> None:
    """Simulated: in 400 windows of 20 turns; a false alarm in at most 1 %, 10 % found in all."""
    rng = np.random.default_rng(5)
    alarms, found = 0, 0
    for _ in range(400):
        speeds = weather(rng, 20)
        one, other = series(rng, speeds, 2.0, 0), series(rng, speeds, 1.5, 150)
        alarms += ratio_moved(one, other) is not None
        moved = ratio_moved(series(rng, speeds, 2.0, 0, moves=0.1), other)
        found += moved is not None and moved == pytest.approx(0.1, abs=0.05)
    assert alarms <= 4
    assert found >= 396


def test_a_few_turns_say_nothing_of_their_ratio() -> None:
    assert ratio_moved([turn(0, 1.0)] * 7, [turn(0, 9.0)] * 7) is None


def test_failed_requests_are_in_the_joined_window() -> None:
    window, samples = turn(0, 2.0)
    samples.status[10] = ERROR
    joined, found = join([(window, samples), turn(500, 2.0)], PLANNED)
    assert reduce(found, joined.begin_ns, joined.end_ns, 1).errors == 1
