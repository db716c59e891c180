"""The tree: plain data, places, and what YAML may hold that a scenario may not."""

from __future__ import annotations

from functools import partial

import pytest

from harness.scenario.reading.tree import MAX_DEPTH, Mark, parse, place_of
from harness.scenario.wording import shorten


def test_scalars_are_those_of_yaml_1_2() -> None:
    text = "{a: 1, b: 0x1f, c: 1e3, d: true, e: yes, f: ~, g: '1', h: 2024-01-01, i: 1:30}"
    root, faults = parse(text, "f")
    assert faults == []
    assert root is not None
    assert root.data() == {
        "a": 1, "b": 31, "c": 1000.0, "d": True, "e": "yes", "f": None, "g": "1",
        "h": "2024-01-01", "i": "1:30",
    }  # fmt: skip


def test_places_of_keys_and_values() -> None:
    root, _ = parse("a:\n  - b: é\n    c: [1,\n      2]\n", "f")
    assert root is not None
    item = root.value["a"].node.value[0]
    assert root.value["a"].key == Mark("f", 1, 1)
    assert item.value["b"].node.mark == Mark("f", 2, 8)
    assert item.value["c"].node.value[1].mark == Mark("f", 4, 7)


def test_an_alias_is_the_same_node_as_its_anchor() -> None:
    root, _ = parse("a: &x {k: 1}\nb: *x\n", "f")
    assert root is not None
    assert root.value["a"].node is root.value["b"].node


def test_explicit_keys_win_over_merged_and_earlier_merged_over_later() -> None:
    root, faults = parse("{<<: [{k: 1, l: 1}, {l: 2, m: 2}], k: 0}", "f")
    assert faults == []
    assert root is not None
    assert root.data() == {"k": 0, "l": 1, "m": 2}


def test_every_fault_is_collected() -> None:
    root, faults = parse("a: !t 1\nb: .inf\na: 2\n3: 4\n", "f")
    assert root is not None
    assert [(f.mark.line, f.path) for f in faults] == [
        (1, ("a",)),
        (2, ("b",)),
        (3, ("a",)),
        (4, ()),
    ]


def test_an_unfamiliar_tag_is_not_constructed() -> None:
    _, faults = parse("a: !!python/object/apply:os.system ['exit 3']", "f")
    assert "has no meaning here" in faults[0].message


@pytest.mark.parametrize("brackets", ["[", "{a: ", "[{a: "])
def test_deep_nesting_is_refused_quickly(brackets: str) -> None:
    root, faults = parse(brackets * 2000, "f")
    assert root is None
    assert faults[0].message == f"nested more than {MAX_DEPTH} levels deep"


def test_deep_but_closed_nesting_is_refused_too() -> None:
    depth = MAX_DEPTH + 10
    _, faults = parse("a: " + "[" * depth + "]" * depth, "f")
    assert [f.message for f in faults] == [f"nested more than {MAX_DEPTH} levels deep"]


def test_place_of_counts_lines_and_characters() -> None:
    assert place_of("ab\ncé", 0, partial(Mark, "f")) == Mark("f", 1, 1)
    assert place_of("ab\ncé", 4, partial(Mark, "f")) == Mark("f", 2, 2)


def test_shorten_keeps_one_short_line() -> None:
    assert shorten("a\n  b") == "a b"
    assert len(shorten("x" * 100)) == 40


def test_a_nul_can_stand_nowhere() -> None:
    _, faults = parse('a:\n  - "x\\0y"\n', "f")
    assert [(f.mark, f.message) for f in faults] == [
        (Mark("f", 2, 5), "a NUL character, which nothing can take; remove it")
    ]
