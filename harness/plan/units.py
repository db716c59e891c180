"""Sizes in each system's own spelling: whole MiB (2^20 bytes) in, text out."""

from __future__ import annotations

from harness.errors import UsageError
from harness.report.model.numbers import significant

GIB = 1024
"""In MiB."""
PLAIN_FROM = 1e-3
"""Below it a figure has an exponent."""


def ceil_div(value: int, by: int) -> int:
    """Up to whole numbers, exactly."""
    return -(-value // by)


def share_of(text: str) -> float:
    """`20%` or `0.2` as 0.2; raises UsageError on anything else, and below 0."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest or not 0 <= value < float("inf"):
        raise UsageError(f"'{text}' is no share", fix="write it as 20% or 0.2")
    return value


def stated(value: float) -> str:
    """A figure as it was given, with thousands separators and no exponent: `1,000,000`, `0.5`."""
    return f"{value:,.6f}".rstrip("0").rstrip(".") if abs(value) >= PLAIN_FROM else f"{value:g}"


def measured(value: float, digits: int = 4) -> str:
    """With so many significant digits and thousands separators: `1,807`, `17.9`, `9`."""
    text = significant(value, digits)
    return text.rstrip("0").rstrip(".") if "." in text else text


def quantity_text(mib: int) -> str:
    """Whole MiB as a Kubernetes quantity."""
    return f"{mib // GIB}Gi" if mib % GIB == 0 else f"{mib}Mi"


def mps_text(mib: int) -> str:
    """Whole MiB as CUDA MPS has them: `2G`, `1280M`; both binary."""
    return f"{mib // GIB}G" if mib % GIB == 0 else f"{mib}M"


def hami_core_text(mib: int) -> str:
    """Whole MiB as HAMi-core has them: `2g`, `1280m`; both binary."""
    return mps_text(mib).lower()
