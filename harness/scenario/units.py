"""Durations and sizes as people write them: `200ms`, `3s`, `20m`; `64MiB`, `4GiB`.

A bare number is refused: a reader must not have to guess the unit.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_BYTES = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*")


def _parse(value: Any, units: dict[str, float] | dict[str, int], example: str) -> float:
    names = ", ".join(units)
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"expected a number with a unit, like {example}")
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        raise ValueError(f"expected a number with a unit, like {example}; units: {names}")
    number, unit = match.groups()
    if not unit:
        raise ValueError(f"{value} has no unit; write {example}; units: {names}")
    if unit not in units:
        raise ValueError(f"unknown unit '{unit}'; units: {names}")
    return float(number) * units[unit]


def parse_duration(value: Any) -> float:
    """Seconds from `200ms`, `3s`, `20m`, `1h`. Raises ValueError on anything else."""
    return _parse(value, _SECONDS, "500ms or 3s")


def parse_size(value: Any) -> int:
    """Bytes from `64MiB`, `4GiB` (powers of two) or `500MB` (powers of ten). Raises ValueError."""
    return int(_parse(value, _BYTES, "512MiB or 4GiB"))


def format_duration(seconds: float) -> str:
    """The shortest exact spelling that `parse_duration` reads back."""
    for unit, factor in (("h", 3600.0), ("m", 60.0), ("s", 1.0), ("ms", 1e-3)):
        count = seconds / factor
        if count >= 1 and abs(count - round(count)) < 1e-9:
            return f"{round(count)}{unit}"
    return f"{seconds:.9g}s"


def format_size(size: int) -> str:
    """The shortest exact spelling that `parse_size` reads back."""
    for unit in ("GiB", "MiB", "KiB"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return f"{size}B"


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(us|ms|s|m|min|h)\s*$"}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(format_size, return_type=str),
    WithJsonSchema(
        {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)?\s*(B|KiB|MiB|GiB|KB|MB|GB)\s*$"}
    ),
]
