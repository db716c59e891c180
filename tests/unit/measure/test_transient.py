"""A warm-up that leaks into the window is found, and noise is not taken for one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.measure.transient import Leak, leak_over_rounds, warm_up_leak, window_start
from harness.results.samples import OK, Samples

MS = 1_000_000


def closed_loop(
    latency: NDArray[np.float64], share: float = 0.0, factor: float = 1.0
) -> Leak | None:
    """One caller's requests back to back; those of the first `share` of the time are slower."""
    latency = latency * MS
    wanted = share * latency.sum()
    passed = 0.0
    for i in range(len(latency)):
        if passed >= wanted:
            break
        latency[i] *= factor
        passed += latency[i]
    done = np.cumsum(latency).astype(np.int64)
    return warm_up_leak(done, latency.astype(np.int64), 0, int(done[-1]))


def noisy(seed: int, size: int = 1000, cv: float = 0.05) -> NDArray[np.float64]:
    return np.random.default_rng(seed).gamma(cv**-2, cv**2, size)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("factor", [1.2, 1.5, 3.0])
def test_a_slow_beginning_is_found(share: float, factor: float) -> None:
    found = [closed_loop(noisy(seed), share, factor) for seed in range(40)]
    assert sum(leak is not None for leak in found) >= 38


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
@pytest.mark.parametrize("factor", [1.2, 1.5, 3.0])
def test_so_it_is_in_a_window_of_few_requests(share: float, factor: float) -> None:
    found = [closed_loop(noisy(seed, 300), share, factor) for seed in range(40)]
    assert sum(leak is not None for leak in found) >= 38


def test_hold_ups_of_a_busy_machine_are_no_leak() -> None:
    """One request of 200 takes ten times as long, wherever it is."""
    alarms = 0
    for seed in range(300):
        latency = noisy(seed, 300)
        latency[np.random.default_rng(1000 + seed).random(300) < 1 / 200] *= 10
        alarms += closed_loop(latency) is not None
    assert alarms <= 15


def test_how_slow_it_was_is_said() -> None:
    leak = closed_loop(noisy(1, cv=0.01), 0.05, 1.5)
    assert leak is not None
    assert leak.share == 0.05
    assert leak.slower == pytest.approx(0.5, abs=0.03)


def test_noise_is_no_leak() -> None:
    assert sum(closed_loop(noisy(seed, cv=0.3)) is not None for seed in range(300)) <= 6


def correlated(seed: int, size: int, cv: float = 0.05) -> NDArray[np.float64]:
    """AR(1) with .9."""
    steps = np.random.default_rng(seed).normal(0, np.sqrt(1 - 0.9**2), size + 200)
    return np.maximum(0.2, 1 + cv * lfilter([1], [1, -0.9], steps)[200:])


@pytest.mark.parametrize("size", [100, 400, 1000])
def test_correlated_noise_is_no_leak(size: int) -> None:
    assert sum(closed_loop(correlated(seed, size)) is not None for seed in range(150)) <= 4


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("size", [100, 400])
def test_a_slow_beginning_of_correlated_latencies_is_found_where_it_ends(
    size: int, share: float
) -> None:
    """A fifth slower is 4 of their standard deviations, and their mean knows little."""
    found = [closed_loop(correlated(seed, size), share, 1.2) for seed in range(40)]
    assert sum(leak is not None for leak in found) >= 38


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_busy_times_of_a_queue_are_no_leak(load: float) -> None:
    """M/D/1: response times rise together, and where a busy time ends they fall at once."""
    alarms, number = 0, np.arange(1700)
    for seed in range(200):
        arrivals = np.cumsum(np.random.default_rng(seed).exponential(1 / load, 1700))
        wait = (np.maximum.accumulate(arrivals - number) + number + 1 - arrivals)[-200:] * MS
        done = (arrivals[-200:] * MS + wait).astype(np.int64)
        first, last = int(done[0]) - 1, int(done[-1])
        alarms += warm_up_leak(done, wait.astype(np.int64), first, last) is not None
    assert alarms <= 10


def test_where_a_step_ends_is_said() -> None:
    """Where the stretches see nothing: the first of them is not the slowest."""
    leak = closed_loop(correlated(0, 100), 0.2, 1.2)
    assert leak is not None
    assert leak.share == pytest.approx(0.2, abs=0.01)
    assert leak.slower == pytest.approx(0.2, abs=0.05)


def test_a_fast_beginning_is_no_leak() -> None:
    assert closed_loop(noisy(3), 0.1, 0.5) is None


def test_a_slow_end_is_no_leak() -> None:
    latency = noisy(4)
    latency[-100:] *= 3
    assert closed_loop(latency) is None


def test_a_beginning_within_two_percent_is_of_no_interest() -> None:
    assert closed_loop(noisy(5, cv=0.0005), 0.05, 1.015) is None
    assert closed_loop(noisy(5, cv=0.0005), 0.05, 1.03) is not None


@pytest.mark.parametrize("size", [0, 1, 79])
def test_of_few_requests_nothing_is_said(size: int) -> None:
    latency = np.full(size, MS)
    latency[:1] *= 100
    done = np.cumsum(latency)
    assert warm_up_leak(done, latency, 0, int(done[-1]) if size else 1) is None


def test_a_beginning_without_requests_is_none() -> None:
    """An open loop whose first arrival comes late has nothing to be compared."""
    latency = np.full(400, MS)
    done = np.arange(400) * MS + 400 * MS
    assert warm_up_leak(done, latency, 0, 800 * MS) is None


Starts = list[list[tuple[float, float]]]


def starts(make: Callable[[int], NDArray[np.float64]], rounds: int, factor: float = 1.0) -> Starts:
    """Of 200 points, each round's `window_start`; the first 5 % are slower by the factor."""
    found: Starts = []
    for point in range(200):
        found.append([])
        for round_ in range(rounds):
            latency = make(1000 * point + round_)
            latency[: len(latency) // 20] *= factor
            done = np.cumsum(latency * MS).astype(np.int64)
            sent = np.concatenate([[0], done[:-1]])
            ok, caller = np.full(len(done), OK, np.uint8), np.zeros(len(done), np.uint16)
            start = window_start(Samples(sent, sent, done, ok, caller), 0, int(done[-1]))
            assert start is not None
            found[-1].append(start)
    return found


def shown(points: Starts, rounds: int) -> int:
    """Of the points, those whose first so many rounds show a leak."""
    return sum(leak_over_rounds(point[:rounds]) is not None for point in points)


@pytest.mark.parametrize("make", [
    lambda seed: noisy(seed, 400, 0.3), lambda seed: np.exp(correlated(seed, 400, 0.23)),
])  # fmt: skip
def test_noise_has_no_sign_over_rounds(make: Callable[[int], NDArray[np.float64]]) -> None:
    points = starts(make, 10)
    assert all(shown(points, rounds) <= 8 for rounds in (3, 5, 10))


def test_a_leak_that_one_window_hides_keeps_its_sign_over_rounds() -> None:
    def make(seed: int) -> NDArray[np.float64]:
        return noisy(seed, 400, 0.2)

    alone = [closed_loop(make(seed), 0.05, 1.1) for seed in range(200)]
    assert sum(leak is not None for leak in alone) < 40
    assert shown(starts(make, 5, 1.1), 5) >= 170


def test_two_rounds_or_a_trifle_say_nothing() -> None:
    assert leak_over_rounds([(0.975, 0.2)] * 2) is None
    assert leak_over_rounds([(0.975, 0.2)] * 3) == pytest.approx(0.2)
    assert leak_over_rounds([(0.975, 0.01)] * 9) is None
    assert leak_over_rounds([(0.025, 0.2)] * 9) is None
