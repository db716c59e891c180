"""Change points of series whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from harness.compare.changepoints import LEVEL, best_split, change_points


def test_a_shift_is_found_where_it_is() -> None:
    found = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        series = np.concatenate([rng.normal(0, 1, 15), rng.normal(3, 1, 15)])
        places = change_points(series.tolist())
        found += len(places) == 1 and abs(places[0] - 15) <= 2
    assert found >= 17


def test_several_shifts() -> None:
    rng = np.random.default_rng(0)
    levels = np.repeat([0.0, 5.0, 1.0], 12)
    assert change_points((levels + rng.normal(0, 0.5, 36)).tolist()) == [12, 24]


@pytest.mark.parametrize("heavy", [False, True])
def test_without_one_few_series_are_called_changed(heavy: bool) -> None:
    """The level is 1 %; of 150 series up to 5 are within the binomial's 95 %."""
    rng, alarms = np.random.default_rng(7), 0
    for seed in range(150):
        values = rng.standard_t(3, 20) if heavy else rng.normal(0, 1, 20)
        alarms += bool(change_points(values.tolist(), seed=seed))
    assert LEVEL == 0.01
    assert alarms <= 5


@pytest.mark.parametrize("values", [[], [1.0], [1.0, 2.0, 1.0, 2.0, 1.0], [3.0] * 20])
def test_where_there_is_nothing_to_find(values: list[float]) -> None:
    assert change_points(values) == []


def test_the_statistic_is_the_papers() -> None:
    """By its definition, pair by pair."""
    rng = np.random.default_rng(1)
    series = rng.normal(0, 1, 9)
    place, statistic = best_split(series, 3)

    def by_definition(k: int) -> float:
        x, y = series[:k], series[k:]
        m, n = len(x), len(y)
        across = 2 * np.mean([abs(a - b) for a in x for b in y])
        in_x = np.mean([abs(x[i] - x[j]) for i in range(m) for j in range(i)])
        in_y = np.mean([abs(y[i] - y[j]) for i in range(n) for j in range(i)])
        return float(m * n / (m + n) * (across - in_x - in_y))

    every = {k: by_definition(k) for k in range(3, 7)}
    assert place == max(every, key=lambda k: every[k])
    assert statistic == pytest.approx(every[place])
