"""Sizes in each system's spelling, and back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.errors import UsageError
from harness.plan.units import (
    ceil_div,
    hami_core_text,
    mps_mib,
    mps_text,
    quantity_mib,
    quantity_text,
    share_of,
)


@pytest.mark.parametrize(
    ("text", "mib"),
    [("1000M", 954), ("10Gi", 10_240), ("4096Mi", 4096), ("1", 1), ("1048577", 2), ("1Ki", 1)],
)
def test_a_quantity_goes_up_to_whole_mib(text: str, mib: int) -> None:
    assert quantity_mib(text) == mib


@pytest.mark.parametrize(("text", "mib"), [("2G", 2048), ("1280M", 1280), ("1g", 1024), ("9K", 0)])
def test_the_suffixes_of_mps_are_binary(text: str, mib: int) -> None:
    assert mps_mib(text) == mib


@pytest.mark.parametrize("mib", [1, 1023, 1024, 1280, 4147, 10_240])
def test_what_is_written_reads_back(mib: int) -> None:
    assert mps_mib(mps_text(mib)) == mib == mps_mib(hami_core_text(mib))
    assert quantity_mib(quantity_text(mib)) == mib


@pytest.mark.parametrize(
    ("read", "text"),
    [(quantity_mib, "0Gi"), (quantity_mib, "4 GB"), (mps_mib, "2"), (share_of, "-1"),
     (share_of, "nan"), (share_of, "20%%"), (share_of, "inf")],
)  # fmt: skip
def test_what_is_no_size_is_refused(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(UsageError):
        read(text)


def test_shares() -> None:
    assert share_of("20%") == share_of("0.2") == pytest.approx(0.2)
    assert (ceil_div(8, 4), ceil_div(9, 4)) == (2, 3)
