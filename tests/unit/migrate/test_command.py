"""The last value of an option counts, and no value reaches a comment."""

from __future__ import annotations

from pathlib import Path

from harness.migrate.arguments import SOURCE, Given
from harness.migrate.command import Command
from harness.migrate.draft import Draft
from harness.scenario.reading.tree import Mark


def given(value: str, file: str = SOURCE) -> Given:
    return Given("http-header", "-H", value, Mark(file, 3, 1))


def test_the_last_value_counts() -> None:
    command = Command(Draft("n", Path(), "x"), {"http-header": [given("a"), given("b")]})
    assert command.value("http-header") == "b"
    assert command.value("url", "default") == "default"


def test_a_comment_names_the_option_and_the_line_of_a_file() -> None:
    command = Command(Draft("n", Path(), "x"))
    command.put("load.a", 1, given("hush"))
    command.put("load.b", 1, given("hush", "m.yaml"))
    assert command.draft.origins == {"load.a": "-H", "load.b": "-H, line 3"}
