"""Durations and sizes as people write them: `200ms`, `3s`, `20m`; `64MiB`, `4GiB`.

A bare number is refused: a reader must not have to guess the unit.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def _parse(
    value: object, units: dict[str, float] | dict[str, int], common: tuple[str, str]
) -> float:
    names = ", ".join(units)
    expected = f"expected a number with a unit, like 20{common[0]}; units: {names}"
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(expected)  # noqa: TRY004 - pydantic collects ValueErrors only
    if str(value).strip().startswith("-"):
        raise ValueError(f"must not be negative, found {value}")
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(expected)
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{value} has no unit; write {number}{common[0]} or {number}{common[1]}")
    if unit not in units:
        raise ValueError(f"unknown unit '{unit}'; units: {names}")
    return float(number) * units[unit]


LONGEST = 7 * 86_400.0
"""No duration is longer than a week: operating systems' timers would overflow not far above."""


def parse_duration(value: object) -> float:
    """Seconds from `200ms`, `3s`, `20m`, `1h`, at most 168h. Raises ValueError on anything else."""
    seconds = _parse(value, _SECONDS, ("ms", "s"))
    if seconds > LONGEST:
        raise ValueError("must be at most 168h")
    return seconds


def parse_positive_duration(value: object) -> float:
    """As `parse_duration`, but zero is refused too."""
    seconds = parse_duration(value)
    if seconds <= 0:
        raise ValueError(f"must be longer than 0, found {value}")
    return seconds


def parse_size(value: object) -> int:
    """Bytes from `64MiB`, `4GiB` (powers of two) or `500MB` (powers of ten). Raises ValueError."""
    size = _parse(value, _BYTES, ("MiB", "GiB"))
    if size >= 2**63:
        raise ValueError("must be less than 2^63 bytes")
    return int(size)


def format_duration(seconds: float) -> str:
    """The shortest exact spelling that `parse_duration` reads back."""
    for unit in ("h", "m", "s", "ms", "us"):
        count = round(seconds / _SECONDS[unit])
        if count >= 1 and count * _SECONDS[unit] == seconds:
            return f"{count}{unit}"
    digits = f"{Decimal(repr(seconds)):f}"
    return f"{digits.rstrip('0').rstrip('.') if '.' in digits else digits}s"


def format_size(size: int) -> str:
    """The shortest exact spelling that `parse_size` reads back."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


_DURATION_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(us|ms|s|m|min|h)\s*$"}
)
_SIZE_SCHEMA = WithJsonSchema(
    {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB|KB|MB|GB)\s*$"}
)
_AS_DURATION = PlainSerializer(format_duration, return_type=str)
_AS_SIZE = PlainSerializer(format_size, return_type=str)
Duration = Annotated[float, BeforeValidator(parse_duration), _AS_DURATION, _DURATION_SCHEMA]
PositiveDuration = Annotated[
    float, BeforeValidator(parse_positive_duration), _AS_DURATION, _DURATION_SCHEMA
]
Size = Annotated[int, BeforeValidator(parse_size), _AS_SIZE, _SIZE_SCHEMA]
