"""A row on a page, an outcome in a comment."""

from __future__ import annotations

from harness.migrate.table import Outcome, Row, markdown
from harness.scenario.reading.tree import Mark


def test_a_row_becomes_a_line_of_a_table() -> None:
    row: Row[object] = Row(("-b", "--batch"), "translated", "load.batch_sizes, load", "why")
    assert markdown([row], "tool").splitlines()[2] == (
        "| `-b`, `--batch` | translated | `load.batch_sizes`, `load` | why |"
    )


def test_an_outcome_says_its_place() -> None:
    mark = Mark("a.yaml", 3, 5)
    assert Outcome(mark, "gpus", "refused", "", "none").line == "a.yaml:3:5 gpus: none"
    assert Outcome(mark, "b", "translated", "load", "").line == "a.yaml:3:5 b → load"
