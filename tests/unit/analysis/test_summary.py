"""Intervals and summaries against numbers worked out by hand or by simulation."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.intervals import Interval, log_t_interval, ratio_interval
from harness.analysis.summary import summarize
from harness.results.rows import FailureRow, MeasurementRow

ROW = MeasurementRow(
    point="fake/b2/c1", round=0, backend="fake", config="default", batch_size=2, concurrency=1,
    request_rate=None, started="", window_begin_ns=0, window_end_ns=10**9, requests=100, errors=0,
    throughput=200.0, latency_mean_ms=10.0,
    latency_ms={"p50": 10.0, "p90": 12.0, "p95": None, "p99": None, "p999": None},
    latency_order_ms={},
)  # fmt: skip


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


def test_ratio_of_equal_spreads_by_hand() -> None:
    # logs: means 1 and 0, variances of the mean 1/3 each; Welch's freedom is 4, t = 2.776445
    found = ratio_interval([1.0, math.e, math.e**2], [1 / math.e, 1.0, math.e])
    half = 2.7764451051977987 * math.sqrt(2 / 3)
    assert found.value == pytest.approx(math.e)
    assert found.low == pytest.approx(math.exp(1 - half))
    assert found.high == pytest.approx(math.exp(1 + half))


def test_ratio_without_spread_is_exact_and_with_one_round_has_no_interval() -> None:
    assert ratio_interval([4.0, 4.0], [2.0, 2.0]) == Interval(2.0, 2.0, 2.0, 2)
    assert ratio_interval([4.0], [2.0, 2.1]).low is None


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [([], [1.0]), ([1.0], []), ([1.0, math.inf], [1.0, 1.0]), ([1.0, 1.0], [0.0, 1.0])],
)
def test_ratio_refuses_what_has_no_ratio(numerator: list[float], denominator: list[float]) -> None:
    with pytest.raises(ValueError, match=r"no values|not all"):
        ratio_interval(numerator, denominator)


def test_summary_of_two_rounds() -> None:
    second = replace(
        ROW, round=1, throughput=800.0, errors=4, host_memory_mib=50.0, flags=("errors",),
        latency_ms={**ROW.latency_ms, "p90": None}, server_us={"queue": 3.0},
    )  # fmt: skip
    (row,) = summarize([second, replace(ROW, host_memory_mib=70.0, server_us={"queue": 1.0})])
    assert row.throughput is not None
    assert row.throughput.value == pytest.approx(400.0)  # geometric mean
    assert [m.round for m in row.measurements] == [0, 1]
    assert row.latency_ms["p50"] is not None
    assert row.latency_ms["p90"] is None  # one round lacks it
    assert (row.rounds, row.requests, row.errors) == (2, 200, 4)
    assert row.host_memory_mib == 70.0
    assert row.server_us == {"queue": 2.0}
    assert row.flags == ("errors",)
    assert row.valid


def test_failures_of_a_point_that_was_never_measured() -> None:
    failures = [FailureRow("fake/b2/c1", n, "fake", "died", "signal 9") for n in (0, 1)]
    (row,) = summarize([], failures)
    assert (row.backend, row.batch_size, row.concurrency) == ("fake", 2, 1)
    assert row.throughput is None
    assert not row.valid
    assert row.flags == ("failed_died",)  # once, though two rounds failed
    assert len(row.failures) == 2


def test_failure_that_a_resumed_run_made_good_is_forgotten() -> None:
    (row,) = summarize([ROW], [FailureRow(ROW.point, 0, "fake", "hung", "no answer")])
    assert row.failures == ()
    assert row.flags == ()
    assert row.valid


def test_partly_failed_point_keeps_its_failure() -> None:
    (row,) = summarize([ROW], [FailureRow(ROW.point, 1, "fake", "hung", "no answer")])
    assert row.flags == ("failed_hung",)
    assert len(row.failures) == 1


@pytest.mark.parametrize("flag", ["all_failed", "parity"])
def test_invalidating_flags(flag: str) -> None:
    (row,) = summarize([replace(ROW, flags=(flag,))])
    assert not row.valid


def test_failure_with_an_unreadable_point_is_kept() -> None:
    (row,) = summarize([], [FailureRow("what?", 0, "fake", "died", "signal 9")])
    assert (row.point, row.backend, row.valid) == ("what?", "fake", False)


def energy(*joules: float | None) -> list[MeasurementRow]:
    return [
        replace(ROW, round=n, gpu_power_w=300.0 + n, gpu_memory_mib=500.0 - n, host_memory_mib=9.0,
                details={} if j is None else {"joules_per_inference": j})
        for n, j in enumerate(joules)
    ]  # fmt: skip


def test_energy_over_rounds_and_its_reciprocal() -> None:
    (row,) = summarize(energy(0.1, 0.2, 0.15))
    assert row.joules_per_inference == log_t_interval([0.1, 0.2, 0.15])
    assert row.metrics["gpu_power_w"] == log_t_interval([300.0, 301.0, 302.0])
    rate = log_t_interval([10.0, 5.0, 1 / 0.15])
    found = row.inferences_per_joule
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((rate.value, rate.low, rate.high))
    assert found.rounds == 3


def test_a_round_without_energy_leaves_the_point_without() -> None:
    (row,) = summarize(energy(0.1, None))
    assert (row.joules_per_inference, row.inferences_per_joule) == (None, None)
    (idle,) = summarize(energy(0.0, 0.1))
    assert idle.joules_per_inference == Interval(0.05, None, None, 2)
    assert log_t_interval([0.0, 0.0]).reciprocal is None


def test_memory_over_rounds_is_a_range() -> None:
    (row,) = summarize(energy(0.1, 0.1, 0.1))
    assert (row.least("gpu_memory_mib"), row.gpu_memory_mib) == (498.0, 500.0)
    assert (row.least("host_memory_mib"), row.host_memory_mib) == (9.0, 9.0)
    (bare,) = summarize([ROW])
    assert (bare.least("gpu_memory_mib"), bare.gpu_memory_mib) == (None, None)
