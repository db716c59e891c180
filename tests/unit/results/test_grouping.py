"""Groups of rows."""

from __future__ import annotations

from harness.results.grouping import firsts, grouped


def test_groups_and_their_items_keep_their_order() -> None:
    words = ["bb", "a", "cc", "ddd", "e"]
    assert list(grouped(words, len).items()) == [(2, ["bb", "cc"]), (1, ["a", "e"]), (3, ["ddd"])]
    assert firsts(words, len) == ["bb", "a", "ddd"]
    assert grouped([], len) == {}
