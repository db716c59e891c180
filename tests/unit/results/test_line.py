"""How a dataclass becomes a JSON line and back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from harness.results.line import Line


@dataclass(frozen=True, slots=True)
class Reading(Line):
    EVENT = "reading"
    name: str
    value: float
    spread: tuple[float, float] | None = None
    words: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)


def test_floats_are_spelt_and_read_back_and_words_stay_words() -> None:
    reading = Reading("nan", -math.inf, (1.0, math.inf), ("inf",), {"x": "inf"})
    line = reading.to_event()
    assert line == {
        "event": "reading", "name": "nan", "value": "-inf", "spread": [1.0, "inf"],
        "words": ["inf"], "details": {"x": "inf"},
    }  # fmt: skip
    assert Reading.from_event(line) == reading
    assert math.isnan(Reading.from_event({"name": "x", "value": "nan"}).value)


def test_none_stays_none_and_unknown_keys_are_left_out() -> None:
    line = {"name": "x", "value": 1.0, "spread": None, "colour": "blue"}
    assert Reading.from_event(line) == Reading("x", 1.0)


def test_what_is_missing_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="value"):
        Reading.from_event({"name": "x"})
