"""Slow requests that come together: the estimator, and where p99 is said to rest on few of them."""

from __future__ import annotations

import numpy as np
import pytest
from support import simulated_queue

from harness.measure.quantiles import percentiles
from harness.measure.reduce import in_window
from harness.measure.tail import check_tail, extremal_index
from harness.results.samples import OK, Samples

S = 1_000_000_000


def series(latency: np.ndarray) -> Samples:
    """One request a millisecond."""
    sent = np.arange(len(latency), dtype=np.int64) * 1_000_000
    status = np.full(len(latency), OK, np.uint8)
    return Samples(sent, sent, sent + latency.astype(np.int64), status, status.astype(np.uint16))


def said(samples: Samples, seconds: float) -> list[str]:
    latency = samples.done - samples.scheduled
    p99 = percentiles(latency, samples.status != OK)["p99"]
    return [f.seen for f in check_tail(samples, -1, int(seconds * S), True, p99)]


@pytest.mark.parametrize("together", [1, 2, 5, 20])
def test_the_index_is_one_over_how_many_come_together(together: int) -> None:
    """A moving maximum of independent values: each large one makes `together` neighbours large."""
    rng = np.random.default_rng(together)
    values = rng.pareto(1.0, 400_000)
    moved = np.max([np.roll(values, k) for k in range(together)], axis=0)[together:]
    positions = np.flatnonzero(moved > np.quantile(moved, 0.99))
    assert extremal_index(positions, len(moved)) == pytest.approx(1 / together, rel=0.15)


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_single_stretch_is_told(step: int) -> None:
    latency = np.random.default_rng(1).uniform(1e6, 2e6, 2000)
    latency[300 : 300 + 20 * step : step] += 50e6
    (text,) = said(series(latency), 3)
    assert int(text.split(" about ")[1].split()[0]) <= 4


def test_slow_requests_in_two_stretches_are_told() -> None:
    latency = np.random.default_rng(1).uniform(1e6, 2e6, 2000)
    latency[300:312] += 50e6
    latency[1500:1508] += 60e6
    (text,) = said(series(latency), 3)
    assert text.startswith("the 20 requests above p99 came in about ")
    assert int(text.split(" about ")[1].split()[0]) <= 5  # of few, the estimator sees too many


@pytest.mark.parametrize("requests", [700, 2000, 20_000])
def test_independent_requests_are_fine(requests: int) -> None:
    told = [
        bool(said(series(np.random.default_rng(seed).exponential(1e6, requests)), 30))
        for seed in range(40)
    ]
    assert np.mean(told) <= 0.1


def test_a_busy_queue_is_told_in_a_short_window_and_not_in_a_long_one() -> None:
    """4 ms a request at a load of 0.8."""

    def told(seconds: float, seed: int) -> bool:
        samples, window = simulated_queue.open_loop(200.0, 4.0, seconds, seed=seed)
        ends = window.begin_ns, window.end_ns
        inside = in_window(samples, *ends, True)
        latency = (samples.done - samples.scheduled)[inside]
        p99 = percentiles(latency, np.zeros(len(latency), bool))["p99"]
        return any(check_tail(samples, *ends, True, p99))

    assert np.mean([told(10.0, seed) for seed in range(20)]) >= 0.6
    assert not any(told(300.0, seed) for seed in range(5))


def test_nothing_is_said_where_there_is_no_p99() -> None:
    samples = series(np.full(2000, 1e6))
    assert list(check_tail(samples, -1, 3 * S, True, None)) == []
    assert list(check_tail(samples, -1, 3 * S, True, float("inf"))) == []
    assert said(samples, 3) == []  # all alike: none above p99
