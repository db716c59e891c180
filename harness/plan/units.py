"""Sizes in each system's own spelling: whole MiB (2^20 bytes) in, text out, and back."""

from __future__ import annotations

import re

from harness.errors import UsageError

GIB = 1024
"""In MiB."""
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_DECIMAL = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_QUANTITY = {**_DECIMAL, **{f"{unit}i": size for unit, size in _BINARY.items()}}


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


def quantity_mib(text: str) -> int:
    """A Kubernetes quantity (`10Gi`, `1000M`) up to whole MiB, at least 1: 1000M is 954.

    Raises UsageError on what is no quantity.
    """
    found = re.fullmatch(r"(\d+)(\w{0,2})", text.strip())
    if found is None or found[2] not in _QUANTITY or int(found[1]) == 0:
        raise UsageError(f"'{text}' is no quantity of memory", fix="write it as 4096Mi or 4Gi")
    return max(1, ceil_div(int(found[1]) * _QUANTITY[found[2]], 2**20))


def quantity_text(mib: int) -> str:
    """Whole MiB as a Kubernetes quantity."""
    return f"{mib // GIB}Gi" if mib % GIB == 0 else f"{mib}Mi"


def mps_text(mib: int) -> str:
    """Whole MiB as CUDA MPS has them: `2G`, `1280M`; both binary."""
    return f"{mib // GIB}G" if mib % GIB == 0 else f"{mib}M"


def mps_mib(text: str) -> int:
    """What MPS makes of a limit: K, M, G are binary, and what is below a MiB is cut off.

    Raises UsageError on anything else.
    """
    found = re.fullmatch(r"(\d+)([KMGkmg])", text.strip())
    if found is None:
        raise UsageError(f"'{text}' is no limit of MPS", fix="write it as 2G or 1280M")
    return int(found[1]) * _BINARY[found[2].upper()] // 2**20


def hami_core_text(mib: int) -> str:
    """Whole MiB as HAMi-core has them: `2g`, `1280m`; both binary."""
    return mps_text(mib).lower()
