"""Values as the other tools write them: numbers, ranges `start:end:step`, lists with commas.

All raise `BadValueError` with what was expected; the caller knows the place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from harness.migrate.table import BadValueError

MOST = 4096
"""Values of a range: whoever writes more means something else."""


def integer(value: object, lowest: int = 1) -> int:
    """A whole number of at least `lowest`."""
    text = str(value).strip()
    if isinstance(value, bool) or not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise BadValueError(f"expected a whole number, found '{value}'")
    if int(text) < lowest:
        raise BadValueError(f"must be at least {lowest}, found {text}")
    return int(text)


def number(value: object, lowest: float = 0.0) -> int | float:
    """A finite number of at least `lowest`; whole where it is."""
    try:
        found = float(str(value)) if not isinstance(value, bool) else math.nan
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise BadValueError(f"expected a number, found '{value}'")
    if found < lowest:
        raise BadValueError(f"must be at least {plain(lowest)}, found {value}")
    return plain(found)


def plain(value: float) -> int | float:
    """A whole number without its `.0`."""
    return int(value) if float(value).is_integer() else value


def boolean(value: object) -> bool:
    """`true` or `false`, also as text or 0 and 1."""
    words = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in words:
        raise BadValueError(f"expected true or false, found '{value}'")
    return words[str(value).lower()]


def is_true(value: object) -> bool:
    """Whether it is true; what is no boolean is said where it is checked."""
    try:
        return boolean(value)
    except BadValueError:
        return False


def word(value: object, allowed: Sequence[str]) -> str:
    """One of some words, whatever its case."""
    found = str(value).lower()
    if found not in allowed:
        raise BadValueError(f"expected one of {', '.join(allowed)}; found '{value}'")
    return found


def words(value: object) -> list[str]:
    """A list, or text with commas."""
    items = value if isinstance(value, list) else str(value).split(",")
    found = [str(item).strip() for item in items]
    if not found or not all(found):
        raise BadValueError(f"expected names, one or with commas between them; found '{value}'")
    return found


def span(start: float, end: float, step: float) -> list[int | float]:
    """From `start` to `end`, both included where the step meets it."""
    if step <= 0:
        raise BadValueError(f"the step must be above 0, found {plain(step)}")
    if end < start:
        raise BadValueError(f"ends at {plain(end)}, before its start {plain(start)}")
    count = math.floor((end - start) / step + 1e-9) + 1
    if count > MOST:
        raise BadValueError(f"stands for {count} values; more than {MOST} are no sweep")
    return [plain(round(start + i * step, 9)) for i in range(count)]


def doubling(start: int, end: int) -> list[int]:
    """Powers of two from the first that is not below `start` to `end`; `start` alone if none."""
    found = [2**k for k in range(31) if start <= 2**k <= end]
    return found or [start]


def ends(value: object) -> tuple[float, float | None, float]:
    """Start, end (None where it is not written) and step of `start[:end[:step]]`."""
    parts = str(value).split(":")
    if len(parts) > 3:
        raise BadValueError(f"expected start:end:step, found '{value}'")
    found = [number(part) for part in parts]
    if len(found) > 1 and 0 < found[1] < found[0]:
        raise BadValueError(f"ends at {plain(found[1])}, before its start {plain(found[0])}")
    return found[0], (found[1] if len(found) > 1 else None), (found[2] if len(found) > 2 else 1)


def several(value: object, lowest: int = 1) -> list[int | float]:
    """Numbers in Model Analyzer's ways: one, a list, `1,2,4`, `1:8:2` or {start, stop, step}."""
    if isinstance(value, dict):
        if unknown := set(value) - {"start", "stop", "step"}:
            raise BadValueError(
                f"a range has start, stop and step, not {', '.join(sorted(unknown))}"
            )
        if not {"start", "stop"} <= set(value):
            raise BadValueError("a range needs start and stop")
        step = number(value.get("step", 1))
        found = span(number(value["start"], lowest), number(value["stop"]), step)
    else:
        found = []
        for item in value if isinstance(value, list) else str(value).split(","):
            start, end, step = ends(str(item).strip())
            found += [start] if end is None else span(start, end, step)
    if not found:
        raise BadValueError("expected at least one number")
    if low := [v for v in found if v < lowest]:
        raise BadValueError(f"must be at least {lowest}, found {low[0]}")
    return list(dict.fromkeys(found))
