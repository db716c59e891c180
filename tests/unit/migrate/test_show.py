"""The table and what stands below it."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from harness.errors import Problem
from harness.migrate import show
from harness.migrate.table import Outcome
from harness.scenario.reading.tree import Mark

OUTCOMES = [
    Outcome(Mark("a", 1, 2), "-b", "translated", "load.batch_sizes", ""),
    Outcome(Mark("a", 3, 4), "--[bold]x", "refused", "", "because"),
]
PATHS = [Path("a b.yaml")]


def shown(width: int) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(show.table(OUTCOMES))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_options_are_shown_as_they_are_written() -> None:
    assert shown(100) == ["1:2  -b → load.batch_sizes", "3:4  --[bold]x → refused (because)"]


def test_on_a_narrow_terminal_no_name_is_cut() -> None:
    assert shown(24)[:2] == ["1:2  -b →", "     load.batch_sizes"]


def test_what_comes_next_is_a_command_or_a_problem() -> None:
    assert show.summary(PATHS, OUTCOMES, []).splitlines() == [
        "1 translated, 0 not needed, 1 refused", "a b.yaml: written",
        "next: harness run 'a b.yaml' --dry-run",
    ]  # fmt: skip
    problem = Problem("a b.yaml", 1, 2, "x", "no")
    assert (
        show.summary(PATHS, [], [problem]).splitlines()[-1] == "before it runs: a b.yaml:1:2: x: no"
    )


def test_json_has_marks() -> None:
    found = json.loads(show.as_json(PATHS, OUTCOMES, []))
    assert found["options"][0]["mark"] == {"file": "a", "line": 1, "column": 2}
