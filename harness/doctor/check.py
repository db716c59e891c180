"""One line of what the doctor says."""

from __future__ import annotations

from dataclasses import dataclass

OK, MISSING, NOTE = "ok", "missing", "note"


@dataclass(frozen=True, slots=True)
class Check:
    """`status` is ok, missing (then `fix` says what to do) or note (good to know)."""

    group: str
    name: str
    status: str
    detail: str
    fix: str | None = None
    runs: bool = False
    """Whether this is a real backend that can measure here."""
