"""What became of each option, in the terminal or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import Problem
from harness.migrate.table import STATUSES, Outcome, Status
from harness.system.text import harness_command

if TYPE_CHECKING:
    from rich.table import Table

_COLOURS: dict[Status, str] = {"translated": "green", "not needed": "dim", "refused": "yellow"}


def as_json(
    written: Sequence[Path], outcomes: Sequence[Outcome], problems: Sequence[Problem]
) -> str:
    """The files, the options and what keeps the scenarios from being run here."""
    facts = {
        "schema": "harness-import/1",
        "written": [str(path) for path in written], "options": [asdict(o) for o in outcomes],
        "problems": [asdict(problem) for problem in problems],
    }  # fmt: skip
    return json.dumps(facts, indent=2)


def table(outcomes: Sequence[Outcome]) -> Table:
    """A paragraph an option, broken between words only: names are searched for and copied."""
    from rich.table import Table
    from rich.text import Text

    made = Table.grid("place", "what became of it", padding=(0, 2))
    for o in outcomes:
        became = (o.here or o.status, _COLOURS[o.status])
        text = Text.assemble(o.option, " → ", became, o.note and f" ({o.note})")
        made.add_row(f"{o.mark.line}:{o.mark.column}", text)
    return made


def summary(
    written: Sequence[Path], outcomes: Sequence[Outcome], problems: Sequence[Problem]
) -> str:
    """The lines below the table: how many of each, the files, and what comes next."""
    counts = (f"{sum(o.status == status for o in outcomes)} {status}" for status in STATUSES)
    lines = [", ".join(counts), *(f"{path}: written" for path in written)]
    lines += [f"before it runs: {problem}" for problem in problems]
    if not problems:
        lines.append(f"next: {harness_command('run', written[0], '--dry-run')}")
    return "\n".join(lines)
