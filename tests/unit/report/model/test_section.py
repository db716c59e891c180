"""Blocks of a section: which charts and parts a format has, and that each kind has its macro."""

from __future__ import annotations

from typing import get_args

from harness.report.model.blocks import Chart, table, word
from harness.report.model.section import (
    Block,
    Charts,
    Masthead,
    Part,
    Section,
    Text,
    bold,
    compose,
    titled,
)
from harness.report.outputs.html import environment


def chart(id_: str) -> Charts:
    return Charts((Chart(id_, "t", "x", "y", (), table([], [])),))


def test_folded_charts_are_not_those_of_print() -> None:
    parts = (Part("p", "P", (chart("shown"),)), Part("q", "Q", (chart("folded"),), folded=True))
    section = Section("s", "S", (Text("a"), chart("own")), parts)
    assert [c.id for c in section.charts()] == ["own", "shown"]
    assert [c.id for c in section.folded_charts()] == ["folded"]
    assert [p.id for p in section.printed_parts()] == ["p"]


def test_a_section_with_a_masthead_needs_no_title_of_its_own() -> None:
    assert Section("s", "S", ()).titled
    assert not Section("s", "S", (Masthead("n", "t", ""),)).titled


def test_only_tables_that_there_are_get_a_title() -> None:
    (block,) = titled(("a", table(["x"], [])), ("b", table(["x"], [[word("1")]])))
    assert block.title == "b"


def test_a_sentence_is_its_spans() -> None:
    sentence = compose("a ", bold("b"), " c")
    assert str(sentence) == "a b c"
    assert [s.strong for s in sentence.spans] == [False, True, False]


def test_every_kind_of_block_has_a_macro() -> None:
    macros = environment().get_template("macros.html.j2").module
    kinds = {block.kind for block in get_args(Block)}
    assert len(kinds) == len(get_args(Block))
    assert kinds == set(macros.setters)
