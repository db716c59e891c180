"""The history as text."""

from __future__ import annotations

from harness.compare.history import Change, Observation, Series
from harness.compare.trend import BARS, changes, page, rows, trend

RUNS = tuple(Observation(f"2026-11-0{n}", f"run{n}", {}, 4.0 + n) for n in range(1, 9))
CHANGE = Change(RUNS[4], 0.081, True, {"numpy": ("2.0", "2.1"), "x|y": ("", "1")})
SERIES = Series("s", "a", "{}", "", "b1/c1", "p50", RUNS, (CHANGE,))


def test_a_trend_rises_from_the_smallest_to_the_largest() -> None:
    assert trend(SERIES) == BARS
    flat = Series("s", "a", "{}", "", "b1/c1", "p50", RUNS[:1] * 3, ())
    assert trend(flat) == BARS[0] * 3


def test_a_change_says_since_when_and_what_else_changed() -> None:
    assert changes([SERIES]) == [
        "p50 latency of a/b1/c1: +8.1 % (worse) since 2026-11-05, run run5: numpy 2.0 → 2.1, "
        "x|y absent → 1"
    ]
    assert rows([SERIES])[0][:4] == ("s", "a/b1/c1", "p50 latency (ms)", "8")


def test_the_page_is_a_table_that_no_text_breaks() -> None:
    text = page([SERIES])
    assert r"x\|y absent" in text
    (line,) = [line for line in text.splitlines() if line.startswith("| s |")]
    assert line.count("|") == 8
    assert "None." in page([])
