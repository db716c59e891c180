"""MSER-5 and the remaining shift, on series whose truth is known."""

import numpy as np
import pytest

from harness.measure.steady import BATCH, mser, steadiness, window_steadiness
from harness.results.samples import OK, Samples


def brute_force(values: np.ndarray) -> int:
    m = len(values)
    objective = [
        ((values[d:] - values[d:].mean()) ** 2).sum() / (m - d) ** 2 for d in range(m // 2 + 1)
    ]
    return int(np.argmin(objective))


@pytest.mark.parametrize("seed", range(20))
def test_mser_is_its_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = 1e6 + rng.normal(0, 1 + seed, 40 + seed)
    values[: seed * 2] += 50
    assert mser(values)[0] == brute_force(values)


def series(n: int, noise: float, seed: int) -> np.ndarray:
    return 100.0 + np.random.default_rng(seed).normal(0, noise, n)


def judge(values: np.ndarray) -> object:
    return steadiness((values * 1e4).astype(np.int64))


def test_a_transient_is_cut_where_it_ends() -> None:
    values = series(1000, 1.0, 1)
    values[:100] += 60
    found = steadiness((values * 1e4).astype(np.int64))
    assert found.truncation == pytest.approx(100, abs=2 * BATCH)


def test_steady_noise_raises_few_alarms() -> None:
    alarms = [not judge(series(1000, 5.0, s)).steady for s in range(200)]  # type: ignore[attr-defined]
    assert np.mean(alarms) < 0.03


@pytest.mark.parametrize("drift", [6.0, 10.0, 40.0])
def test_a_drift_across_the_window_is_seen(drift: float) -> None:
    seen = [not judge(series(1000, 2.0, s) + np.linspace(0, drift, 1000)).steady  # type: ignore[attr-defined]
            for s in range(50)]  # fmt: skip
    assert np.mean(seen) > 0.95


def test_a_drift_below_the_margin_is_let_through() -> None:
    seen = [not judge(series(1000, 2.0, s) + np.linspace(0, 1.0, 1000)).steady  # type: ignore[attr-defined]
            for s in range(50)]  # fmt: skip
    assert np.mean(seen) < 0.1


def test_too_few_requests_say_nothing() -> None:
    found = steadiness(np.arange(50, dtype=np.int64))
    assert found.steady
    assert found.shift is None


@pytest.mark.parametrize(("fast_ms", "judged"), [(2, True), (1, False)])
def test_a_window_of_less_than_a_second_is_not_judged(fast_ms: int, judged: bool) -> None:
    """Requests one after the other, the second half slower by a half: 1.25 s, and 0.62 s."""
    latency = np.repeat([fast_ms * 1_000_000, fast_ms * 1_500_000], 250)
    done = np.cumsum(latency)
    none = np.zeros(500, np.uint8)
    samples = Samples(done - latency, done - latency, done, none + OK, none)
    found = window_steadiness(samples, 0, int(done[-1]))
    assert (found.shift is not None) is judged
    assert found.steady is not judged
