"""Leak or cache: verdicts on curves whose truth is known; more in benchmarks/stress_leak.py."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stress.leak import Growth, autocorrelation, hours_text, judge_growth, trend

SECONDS = np.arange(0, 3600.0)
MINUTE = SECONDS / 60


def noise(seed: int, rho: float = 0.9, sd: float = 1.0) -> np.ndarray:
    """AR(1) from second to second, in MiB."""
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    steps = rng.normal(0, sd * np.sqrt(1 - rho**2), len(SECONDS))
    return lfilter([1.0], [1.0, -rho], steps)


def kind(curve: np.ndarray, seed: int) -> str:
    found = judge_growth(SECONDS, 500 + curve + noise(seed))
    assert found is not None
    return found.kind


def test_a_leak_of_a_mib_a_minute_is_found_ten_times_of_ten() -> None:
    assert [kind(MINUTE, seed) for seed in range(10)] == ["growing"] * 10


@pytest.mark.parametrize("minutes", [3.0, 8.0])
def test_a_cache_that_fills_to_200_mib_is_no_leak_ten_times_of_ten(minutes: float) -> None:
    curve = 200 * (1 - np.exp(-MINUTE / minutes))
    assert "growing" not in [kind(curve, seed) for seed in range(10)]
    assert kind(curve, 0) in ("filled", "untold")  # 8 minutes: the last MiB are still to come


def test_nor_one_that_fills_evenly_until_it_is_full() -> None:
    curve = np.minimum(MINUTE / 20, 1) * 200
    assert {kind(curve, seed) for seed in range(10)} == {"filled"}
    assert kind(200 * (1 - np.exp(-MINUTE / 3)), 0) == "filled"


def test_one_that_is_not_full_yet_is_not_called_a_leak() -> None:
    curve = 200 * (1 - np.exp(-MINUTE / 25))
    assert [kind(curve, seed) for seed in range(10)].count("growing") == 0


@pytest.mark.parametrize("minutes", [10, 50])
def test_a_soak_that_is_too_short_to_tell_says_so_and_how_long_it_must_last(minutes: int) -> None:
    """Nothing in its curve tells a leak from a cache that fills for longer than the soak."""
    part = slice(0, minutes * 60)
    curves = {
        "leak": MINUTE, "slow leak": 0.2 * MINUTE, "evenly": 200 * np.minimum(MINUTE / 60, 1),
        "slowly": 200 * (1 - np.exp(-MINUTE / 30)), "big leak": 100 * MINUTE,
    }  # fmt: skip
    for name, curve in curves.items():
        for seed in range(4):
            found = judge_growth(SECONDS[part], (500 + curve + noise(seed))[part])
            assert found is not None
            assert found.kind == "untold", name
            assert found.enough >= max(1.0, 2 * found.hours - 0.01)
    assert "can't be told yet" in found.words("The server's memory")
    assert "must last" in found.words("The server's memory")


def test_flat_memory_does_not_grow_and_steps_of_a_collector_are_none() -> None:
    assert [kind(np.zeros_like(MINUTE), seed) for seed in range(10)] == ["steady"] * 10
    saw = (SECONDS % 50) / 10
    assert {kind(saw, seed) for seed in range(5)} == {"steady"}


def test_the_slope_is_right_and_its_interval_holds_it() -> None:
    found = judge_growth(SECONDS, 500 + MINUTE + noise(3))
    assert found is not None
    assert found.low < 60 < found.high
    assert found.slope == pytest.approx(60, rel=0.1)
    assert "leaks" in found.words("The server's memory")


def test_growth_with_requests_is_told_from_growth_with_time() -> None:
    rate = np.where((SECONDS // 300) % 2 == 0, 100.0, 10.0)
    requests = np.cumsum(rate)
    by_request = judge_growth(SECONDS, 500 + requests / 2000 + noise(1, sd=0.3), requests)
    by_time = judge_growth(SECONDS, 500 + 2 * MINUTE + noise(1, sd=0.3), requests)
    assert by_request is not None
    assert by_time is not None
    assert (by_request.by, by_time.by) == ("requests", "time")
    constant = judge_growth(SECONDS, 500 + 2 * MINUTE + noise(1), SECONDS * 100)
    assert constant is not None
    assert constant.by == ""


def test_too_little_says_nothing() -> None:
    assert judge_growth(SECONDS[:20], SECONDS[:20]) is None
    assert judge_growth(SECONDS[:100] / 10, SECONDS[:100]) is None


def test_autocorrelation_widens_the_interval() -> None:
    t = np.arange(60.0)
    rng = np.random.default_rng(0)
    white = rng.normal(0, 1, 60)
    slow = np.repeat(rng.normal(0, 1, 12), 5)
    assert autocorrelation(slow) > 0.5 > autocorrelation(white)
    assert trend(t, slow)[1] > 2 * trend(t, white)[1]


def test_a_smaller_leak_needs_a_longer_soak() -> None:
    found = Growth("steady", 0.0, -8.0, 8.0, 0.0, 1.0)
    assert found.needed(16.0) == 1.0
    assert found.needed(2.0) == pytest.approx(4.0)
    assert "4.0 h" in found.longer(2.0)
    assert hours_text(0.5) == "30 min"
