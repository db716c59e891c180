"""Slow requests that come together: the estimator, and how many stretches they make."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.measure.tail import episodes, extremal_index


@pytest.mark.parametrize("together", [1, 2, 5, 20])
def test_the_index_is_one_over_how_many_come_together(together: int) -> None:
    """A moving maximum of independent values: each large one makes `together` neighbours large."""
    rng = np.random.default_rng(together)
    values = rng.pareto(1.0, 400_000)
    moved = np.max([np.roll(values, k) for k in range(together)], axis=0)[together:]
    positions = np.flatnonzero(moved > np.quantile(moved, 0.99))
    assert extremal_index(positions, len(moved)) == pytest.approx(1 / together, rel=0.15)


def slow(*places: NDArray[np.int64], size: int = 2000) -> NDArray[np.bool_]:
    found = np.zeros(size, bool)
    found[np.concatenate(places)] = True
    return found


@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_single_stretch_is_one_or_a_few(step: int) -> None:
    assert episodes(slow(np.arange(300, 300 + 20 * step, step))) <= 4


def test_two_stretches_are_a_few() -> None:
    assert episodes(slow(np.arange(300, 312), np.arange(1500, 1508))) <= 5.5


@pytest.mark.parametrize("requests", [700, 2000, 20_000])
def test_independent_requests_come_one_by_one(requests: int) -> None:
    found = []
    for seed in range(40):
        latency = np.random.default_rng(seed).exponential(1, requests)
        found.append(episodes(latency >= np.quantile(latency, 0.99)) / (0.01 * requests))
    assert np.mean(found) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_so_few_are_counted_as_they_are(count: int) -> None:
    assert episodes(slow(np.arange(count, dtype=np.int64))) == count


def test_where_all_are_slow_each_counts() -> None:
    """Latencies that are all alike are at their p99, and nothing about it is uncertain."""
    assert episodes(np.ones(500, bool)) == 500
