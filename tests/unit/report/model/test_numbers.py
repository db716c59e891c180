"""No more digits than the interval supports."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.analysis.intervals import Interval, log_t_interval
from harness.report.model.numbers import (
    both_text,
    bytes_text,
    fixed,
    floor_text,
    range_text,
    significant,
    spread_text,
    value_text,
)


@pytest.mark.parametrize(
    ("interval", "expected"),
    [
        (Interval(105.3421, 104.7111, 105.9777), "105.3 (104.7–106.0)"),
        (Interval(387.25, 363.4, 412.6), "387 (363–413)"),
        (Interval(12345.0, 11667.0, 13060.0), "12,300 (11,700–13,100)"),
        (Interval(0.012345, 0.0121, 0.0126), "0.01235 (0.01210–0.01260)"),
        (Interval(42.0, 42.0, 42.0), "42.00 (42.00–42.00)"),
        (Interval(0.61, 0.002, 190.0), "0.61 (0.0020–190)"),  # says nothing, but not "0 (0–200)"
        (Interval(14.35, 4.0, 51.0), "14 (4.0–51)"),  # not "10"
        (Interval(42.0), "42.0"),
        (Interval(math.inf), "> timeout"),
        (Interval(105.3, 98.13, None, 3, at_least=True), "≥ 98.1"),
        (None, "n/a"),
    ],
)  # fmt: skip
def test_value_with_interval(interval: Interval | None, expected: str) -> None:
    assert both_text(interval) == expected


@given(
    st.floats(1e-3, 1e6), st.floats(1.0001, 3.0)
)  # fmt: skip
def test_shown_value_is_within_the_half_width(value: float, factor: float) -> None:
    interval = Interval(value, value / factor, value * factor, 3)
    shown = float(value_text(interval).replace(",", ""))
    half = (value * factor - value / factor) / 2
    assert abs(shown - value) <= half
    low, _, high = range_text(interval).partition("–")
    assert float(low.replace(",", "")) <= shown <= float(high.replace(",", ""))


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.0, "0"), (1234.5, "1,234"), (0.012345, "0.0123"), (99.96, "100.0"), (-0.0001, "−0.000100")],
)
def test_significant(value: float, expected: str) -> None:
    assert significant(value) == expected


def test_fixed_rounds_to_tens_and_has_no_negative_zero() -> None:
    assert fixed(12345.0, -2) == "12,300"
    assert fixed(-0.001, 1) == "0.0"


def test_other_forms() -> None:
    assert both_text(Interval(38.2, 35.1, 41.4), "%") == "38.2% (35.1–41.4)"
    assert spread_text(Interval(100.0, 99.0, 101.01)) == "±1.0%"
    assert spread_text(Interval(100.0)) == ""
    assert bytes_text(102_546_000) == "97.8"  # 2^20, not 10^6
    assert bytes_text(1536) == "0.00146"
    assert floor_text("p999") == "p99.9 needs 6,636 requests a round"


def test_ends_that_say_nothing_are_no_numbers_but_the_rounds_that_it_takes() -> None:
    """Two rounds far apart: the t-interval reaches from nothing to the age of the universe."""
    wide = log_t_interval([500.0, 1800.0])
    assert wide.high is not None
    assert wide.low is not None
    assert wide.high > 1e7 * wide.low
    assert both_text(wide) == "950 (a range needs ≥ 3 more rounds)"
    assert spread_text(wide) == ""  # it was ±10,000,000%
    again = log_t_interval([500.0, 1800.0, 500.0, 1800.0, 950.0])
    assert range_text(again) == "430–2,100"
    assert range_text(Interval(470.0, 7.5e-11, 2.9e15, 2)) == "rounds too far apart for a range"
    assert range_text(Interval(470.0, 0.001, 2.9e8)) == "rounds too far apart for a range"
    assert range_text(log_t_interval([600.0, 1400.0])) == "4.2–199,496"
    assert range_text(Interval(10.0, 1.0, 100.0, 2)) == "1.0–100"


def test_ends_below_zero_are_not_run_together_with_their_dash() -> None:
    assert range_text(Interval(-4.76, -5.03, -4.49, 4)) == "−5.03 to −4.49"
    assert range_text(Interval(8.5, -5.3, 22.0, 4)) == "−5.3 to 22"
    assert range_text(Interval(-20.0, -48.0, 7.5, 4)) == "−48 to 7.5"
