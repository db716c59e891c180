"""Cells and tables: what is flush right, what is greyed, what hovering says."""

from __future__ import annotations

from harness.analysis.intervals import Interval
from harness.report.model.blocks import (
    figure,
    interval_cell,
    listing,
    number_cell,
    percentile_cell,
    percentile_name,
    table,
    thinned,
    word,
)


def test_a_column_of_numbers_is_flush_right_and_one_of_none_is_not() -> None:
    found = table(["a", "b"], [[word("x"), figure("1")], [word("y"), figure("n/a")]], ["note"])
    assert [(h.text, h.number) for h in found.headers] == [("a", False), ("b", True)]
    assert found.notes == ("note",)
    assert [h.number for h in table(["a"], []).headers] == [False]


def test_a_listing_has_a_row_an_item_and_a_column_a_title() -> None:
    found = listing([2, 3], {"n": lambda n: figure(str(n)), "square": lambda n: word(str(n * n))})
    assert [[c.text for c in row] for row in found.rows] == [["2", "4"], ["3", "9"]]
    assert [(h.text, h.number) for h in found.headers] == [("n", True), ("square", False)]


def test_numbers_that_are_not_there_are_greyed() -> None:
    assert (number_cell(None).text, number_cell(None).tone) == ("n/a", "muted")
    assert (number_cell(1234.5).text, number_cell(2.0, ",.0f").text) == ("1,234", "2")
    assert number_cell(0.01234).text == "0.0123"


def test_an_interval_stands_under_its_value() -> None:
    cell = interval_cell(Interval(100.0, 99.0, 101.0, 3))
    assert (cell.text, cell.range, cell.number) == ("100.0", "99.0–101.0", True)
    assert interval_cell(None).text == "n/a"


def test_a_missing_percentile_says_what_it_needs() -> None:
    assert percentile_cell("p99", None).note == "p99 needs 662 requests a round"
    assert percentile_cell("p99", Interval(1.0)).note == ""
    assert (percentile_name("p999"), percentile_name("mean")) == ("p99.9", "mean")


def test_a_column_that_is_empty_in_every_row_is_left_out_and_named() -> None:
    found = listing(
        [1, 2],
        {"Value": lambda v: figure(str(v)), "p99": lambda _: figure("n/a"),
         "Max": lambda v: word("—" if v == 1 else "8"), "Instances": lambda _: word("—")},
        ["As measured."],
    )  # fmt: skip
    assert [h.text for h in found.headers] == ["Value", "Max"]
    assert [[c.text for c in row] for row in found.rows] == [["1", "—"], ["2", "8"]]
    assert found.notes == ("As measured.", "Left out, being empty in every row: p99, Instances.")
    assert [h.text for h in listing([], {"Value": figure}).headers] == ["Value"]


def test_a_table_of_very_many_rows_says_how_many_it_leaves_out() -> None:
    found = listing(range(1200), {"n": lambda n: figure(str(n))})
    assert [row[0].text for row in found.rows] == list(map(str, range(1000)))
    assert found.notes == ("The first 1,000 of 1,200 rows; the run's CSV files have all.",)
    assert len(listing(range(1200), {"n": lambda n: figure(str(n))}, most=1200).rows) == 1200


def test_of_very_many_dots_some_of_all_are_drawn() -> None:
    assert thinned([1, 2, 3], 3) == [1, 2, 3] and thinned([]) == []
    assert thinned(list(range(10)), 4) == [0, 3, 6, 9]
