"""What is written as YAML is read back as itself, and a comment ends no line."""

from __future__ import annotations

import pytest

from harness.scenario.reading.tree import parse
from harness.scenario.writing import flow, one_line, scenario_name


def read(text: str) -> object:
    root, faults = parse(text, "made.yaml")
    assert root is not None
    assert faults == []
    return root.data()


@pytest.mark.parametrize(
    "value",
    [1, 0.5, True, "true", "1", "a: b", "# no comment", "{x", "", [1, 2], {"a": 1},
     "it's", 'say "x"', "two\nlines", "x" * 300, [], {}, None, "ä",
     {"b": [{"c": "d"}]}],
)  # fmt: skip
def test_a_value_on_one_line_is_read_back(value: object) -> None:
    line = flow(value)
    assert "\n" not in line
    assert read(f"key: {line} # c") == {"key": value}


def test_a_comment_is_one_line() -> None:
    assert one_line("a\nb\x1b[2J") == "a b\\x1b[2J"
    assert one_line("  indented # as it is") == "  indented # as it is"


@pytest.mark.parametrize(("name", "made"), [("a/b", "a-b"), ("_x", "m_x"), ("ok-1", "ok-1")])
def test_a_name_is_one_that_a_scenario_may_have(name: str, made: str) -> None:
    assert scenario_name(name) == made
