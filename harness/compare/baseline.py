"""A baseline file: one side with its replicate values, small enough to be committed."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from harness.compare.side import Side
from harness.errors import SetupError, UsageError
from harness.results.line import first_mistake
from harness.system.files import jsonable, read_bytes, write_text
from harness.system.text import every_text, harmless

SCHEMA_VERSION = 1
_SIDE = TypeAdapter(Side)
DIGITS = 6
"""Significant, of the values: far more than any scatter leaves."""


def write_baseline(path: Path, side: Side) -> None:
    """Keep a side. Raises SetupError where the file can't be written."""
    kept = asdict(side)
    kept["points"] = _rounded(kept["points"])
    data = {"schema_version": SCHEMA_VERSION, "side": kept}
    try:
        write_text(path, json.dumps(jsonable(data), indent=1, sort_keys=True) + "\n")
    except OSError as error:
        raise SetupError(f"{path} can't be written: {error.strerror}") from error


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {str(k): _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def read_baseline(path: Path) -> Side:
    """A side that was kept. Raises UsageError where the file is none, or of a newer version."""
    try:
        data = json.loads(read_bytes(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is no baseline that can be read: {error}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{path} is no baseline of this version of the harness (schema_version: {version})",
            fix="make one: harness compare RUN_DIR --save-baseline FILE",
        )
    try:
        return _SIDE.validate_python(every_text(data.get("side"), harmless))
    except ValidationError as error:
        raise UsageError(f"{path}: {first_mistake(error)}") from None
