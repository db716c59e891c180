"""What a draft writes is YAML that says what was put into it, whatever the texts hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.migrate.draft import Draft
from harness.migrate.table import BadValueError, Row, Said
from harness.scenario.reading.tree import Mark, parse

MARK = Mark("a.yaml", 1, 1)


def read(text: str) -> object:
    root, faults = parse(text, "made.yaml")
    assert root is not None
    assert faults == []
    return root.data()


def test_comments_end_no_line() -> None:
    draft = Draft("n", Path(), "a\nb: c")
    draft.put("scenario", "n", "from\nx: y")
    draft.apply(Row(("o",), "refused", "", "two\nlines"), "o", MARK, None)
    assert read(draft.text()) == {"scenario": "n"}


def test_keys_have_their_order_whatever_came_first() -> None:
    draft = Draft("n", Path(), "x")
    draft.put("load.concurrency", [1])
    draft.put("backends.kind", "triton")
    draft.put("backends.colocated", [{"name": "b", "load": {"concurrency": 1}}])
    draft.put("scenario", "n")
    found = read(draft.text())
    assert isinstance(found, dict)
    assert list(found) == ["scenario", "backends", "load"]
    assert found["backends"] == [
        {"kind": "triton", "colocated": [{"name": "b", "load": {"concurrency": 1}}]}
    ]


def test_a_bad_value_is_a_problem_and_no_outcome() -> None:
    draft = Draft("n", Path(), "x")

    def fail() -> Said | None:
        raise BadValueError("expected more")

    draft.apply(Row(("o",), "translated", "load", ""), "o", MARK, fail)
    draft.apply(Row(("o",), "translated", "load", ""), "o", MARK, fail)
    assert [str(p) for p in draft.problems] == ["a.yaml:1:1: o: expected more"]
    assert draft.outcomes == []


def test_paths_become_relative_to_the_scenario(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    draft = Draft("n", Path("runs"), "x")
    assert draft.relative("models") == "../models"
    assert draft.relative("/opt/models") == "/opt/models"
