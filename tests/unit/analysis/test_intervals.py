"""Intervals against numbers worked out by hand or by simulation."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.intervals import Interval, log_t_interval


def test_interval_of_three_values_by_hand() -> None:
    # logs of 1, e, e²: mean 1, sd 1, t(0.975, 2) = 4.302653
    found = log_t_interval([1.0, math.e, math.e**2])
    half = 4.302652729911275 / math.sqrt(3)
    assert found.value == pytest.approx(math.e)
    assert found.low == pytest.approx(math.exp(1 - half))
    assert found.high == pytest.approx(math.exp(1 + half))
    assert found.half_width == pytest.approx(half)
    assert found.rounds == 3


def test_one_round_has_no_interval() -> None:
    assert log_t_interval([5.0]) == Interval(5.0, None, None, 1)


def test_infinite_round_makes_the_value_infinite() -> None:
    assert log_t_interval([5.0, math.inf]) == Interval(math.inf, None, None, 2)


def test_zero_round_gives_the_mean_without_interval() -> None:
    assert log_t_interval([0.0, 10.0]) == Interval(5.0, None, None, 2)


def test_no_values_is_an_error() -> None:
    with pytest.raises(ValueError, match="no values"):
        log_t_interval([])


@given(st.lists(st.floats(1e-3, 1e6), min_size=2, max_size=9), st.floats(1e-3, 1e3))
def test_interval_holds_the_value_and_scales(values: list[float], factor: float) -> None:
    one, scaled = log_t_interval(values), log_t_interval([v * factor for v in values])
    assert one.low is not None
    assert one.high is not None
    assert one.low <= one.value * (1 + 1e-9)
    assert one.value <= one.high * (1 + 1e-9)
    assert scaled.value == pytest.approx(one.value * factor, rel=1e-6)


def test_interval_covers_the_truth_95_times_in_100() -> None:
    rng = random.Random(1)
    hits = 0
    for _ in range(2000):
        found = log_t_interval([math.exp(rng.gauss(2.0, 0.1)) for _ in range(3)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= math.exp(2.0) <= found.high
    assert 0.935 <= hits / 2000 <= 0.965
