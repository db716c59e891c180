"""Quantities: every spelling that is written reads back as the same value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.scenario.units import (
    LONGEST,
    format_duration,
    format_size,
    parse_duration,
    parse_positive_duration,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("200ms", 0.2), ("3s", 3), (" 1.5 s ", 1.5), ("20m", 1200), ("2min", 120), ("1h", 3600),
     ("0s", 0), ("250us", 0.00025)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    ("value", "part"),
    [(3, "write 3ms or 3s"), (2.5, "write 2.5ms or 2.5s"), ("3 sec", "unknown unit 'sec'"),
     (True, "expected a number with a unit"), (None, "expected"), ("soon", "expected"),
     (-1, "negative"), ("-1s", "negative"), ("1e3s", "expected"), ("169h", "at most 168h"),
     ("9" * 400 + "s", "at most 168h")],
)  # fmt: skip
def test_bad_durations(value: object, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        parse_duration(value)


def test_zero_is_no_positive_duration() -> None:
    with pytest.raises(ValueError, match="longer than 0"):
        parse_positive_duration("0s")


@given(st.floats(0, LONGEST))
def test_a_duration_reads_back_exactly(seconds: float) -> None:
    assert parse_duration(format_duration(seconds)) == seconds


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "200ms"), (60.0, "1m"), (90.0, "90s"), (0.0, "0s"), (3e-6, "3us")]
)
def test_a_duration_is_spelt_short(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 2**53))
def test_a_size_reads_back_exactly(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 2**26), ("4GiB", 2**32), ("500MB", 5 * 10**8), ("7B", 7)]
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


def test_a_size_without_unit_and_one_beyond_all_bounds() -> None:
    with pytest.raises(ValueError, match="write 64MiB or 64GiB"):
        parse_size(64)
    with pytest.raises(ValueError, match="less than"):
        parse_size("9" * 30 + "GiB")
