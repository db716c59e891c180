"""What becomes of each option of another tool: one table a tool, and what was said of a file.

A `Row` is a line of such a table and of docs/import.md. An `Outcome` is what became of an option
that somebody wrote, with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from harness.scenario.reading.tree import Mark

Status = Literal["translated", "not needed", "refused"]
STATUSES: dict[Status, str] = {
    "translated": "stands in the scenario",
    "not needed": "nothing has to be written for it",
    "refused": "has no counterpart; the scenario is written without it",
}

G = TypeVar("G")


class BadValueError(Exception):
    """A value that can't be read, or that the other tool could not use either."""


@dataclass(frozen=True, slots=True)
class Said:
    """What became of one option, where that differs from its row."""

    status: Status
    note: str
    here: str = ""


@dataclass(frozen=True, slots=True)
class Row(Generic[G]):
    """One option: its names, what becomes of it, under which key, and why."""

    names: tuple[str, ...]
    status: Status
    here: str
    note: str
    rule: Callable[..., Said | None] | None = None
    """Puts it into the draft; None where there is nothing to put."""

    @property
    def name(self) -> str:
        """By which it is known."""
        return self.names[0]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an option at a place in a file or command line."""

    mark: Mark
    option: str
    status: Status
    here: str
    note: str

    @property
    def line(self) -> str:
        """In one line of a comment."""
        where = f"{self.mark.file}:{self.mark.line}:{self.mark.column}"
        means = f" → {self.here}" if self.here else ""
        return f"{where} {self.option}{means}{': ' if self.note else ''}{self.note}"


def refused(note: str) -> Said:
    """Has no counterpart in this file, though it may have one in another."""
    return Said("refused", note)


def not_needed(note: str) -> Said:
    """Changes nothing in this file."""
    return Said("not needed", note)


def done(note: str, here: str = "") -> Said:
    """Translated, with something to know."""
    return Said("translated", note, here)


def markdown(rows: Iterable[Row[G]], head: str) -> str:
    """The rows as a table of a page."""
    lines = [f"| {head} | what becomes of it | here | note |", "|---|---|---|---|"]
    for row in rows:
        names = ", ".join(f"`{name}`" for name in row.names)
        here = ", ".join(f"`{key}`" for key in row.here.split(", ") if key)
        lines.append(f"| {names} | {row.status} | {here} | {row.note} |")
    return "\n".join(lines) + "\n"
