"""Sizes in each system's spelling."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from harness.errors import UsageError
from harness.plan.units import (
    ceil_div,
    hami_core_text,
    measured,
    mps_text,
    quantity_text,
    share_of,
    stated,
)

SIZES = {"G": 1024, "M": 1, "Gi": 1024, "Mi": 1}
"""MiB; all are binary, in MPS too (4096 of one are 4 of the other)."""


@pytest.mark.parametrize("mib", [1, 1023, 1024, 1280, 4147, 10_240])
@pytest.mark.parametrize("write", [mps_text, quantity_text])
def test_what_is_written_is_the_size(mib: int, write: Callable[[int], str]) -> None:
    number, unit = re.fullmatch(r"(\d+)(\w+)", write(mib)).groups()  # type: ignore[union-attr]
    assert int(number) * SIZES[unit] == mib
    assert hami_core_text(mib) == mps_text(mib).lower()


@pytest.mark.parametrize("text", ["-1", "nan", "20%%", "inf"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        share_of(text)


def test_shares() -> None:
    assert share_of("20%") == share_of("0.2") == pytest.approx(0.2)
    assert (ceil_div(8, 4), ceil_div(9, 4)) == (2, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [(2000.0, "2,000"), (1e6, "1,000,000"), (0.5, "0.5"), (20.0, "20"), (1e-9, "1e-09"), (0, "0")],
)
def test_a_figure_is_as_it_was_given(value: float, text: str) -> None:
    assert stated(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(8e4, "80,000"), (158.81, "158.8"), (9.10, "9.1"), (1807.0, "1,807")]
)
def test_what_was_measured_has_four_digits(value: float, text: str) -> None:
    assert measured(value) == text
