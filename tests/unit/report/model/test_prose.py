"""Paragraphs from templates."""

from __future__ import annotations

import jinja2
import pytest

from harness.report.model.context import Context
from harness.report.model.prose import paragraphs
from harness.report.sections import method


def test_empty_lines_part_paragraphs_and_values_stay_as_they_are(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, object] = {}
    monkeypatch.setattr(method, "paragraphs", lambda _, **values: given.update(values) or [])
    method.method(cpu)
    said = paragraphs("method.txt.j2", **given | {"clock": "inputs <b> & all"})
    assert len(said) > 5 and not any("\n" in part for part in said)
    assert "Clock. Inputs <b> & all." in said


def test_a_value_that_is_missing_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        paragraphs("method.txt.j2")
