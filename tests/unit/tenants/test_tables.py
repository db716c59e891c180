from __future__ import annotations

from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.shared import full, scenario, write_shared

from harness.analysis.intervals import Interval
from harness.tenants.results import Results
from harness.tenants.tables import (
    answers,
    fit_table,
    matrix,
    percent_text,
    scale,
    sharing_table,
    tenant_table,
)


def test_the_answers_name_mode_count_and_share(good: Results, tmp_path: Path) -> None:
    said = list(answers(good))
    assert said[0].startswith("time-slicing: 2 replicas of a hold p99 ≤ 20 ms, each with 2 callers")
    assert "; 3: fails (p99 30" in said[0]
    assert "4 replicas keep of one tenant's throughput with the same 16 callers: " in said[2]
    assert "most slowed down is a beside b" in said[-1]


def test_a_slow_down_is_claimed_only_where_its_interval_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not of one round, which has no interval, nor of one that reaches below 1."""
    found = write_shared(tmp_path / "once", scenario(), rounds=1)
    wanted = "time-slicing: no tenant is shown to be slowed down; the largest value is a beside "
    assert any(text.startswith(wanted) for text in answers(found))
    monkeypatch.setattr(found, "slowed", lambda *_: Interval(1.6, 0.18, 13.0, 2))
    assert f"{wanted}a: 1.6 times as long (0.18–13)." in list(answers(found))


def test_the_sharing_table_begins_each_load_with_the_tenant_alone(plain: Results) -> None:
    table = sharing_table(plain)
    cells = [[cell.text for cell in row[:3]] for row in table.rows]
    assert cells == [
        [f"{load} callers", count, mode]
        for load in (4, 16)
        for count, mode in (("1", "dedicated"), ("2", "time-slicing"), ("4", "time-slicing"))
    ]
    kept = [h.text for h in table.headers].index("kept of dedicated, %")
    assert table.rows[0][kept].text == "100"
    assert not table.rows[0][kept].range
    assert table.rows[1][kept].range


def test_the_matrix_is_hotter_where_more_is_lost(plain: Results, tmp_path: Path) -> None:
    table = matrix(plain, plain.modes[0])
    assert table is not None
    heat = [[cell.heat for cell in row[1:]] for row in table.rows]
    assert heat[0][1] > heat[0][0] > heat[1][0] > 0
    bare = write_shared(tmp_path / "bare", full(pairs=False), rounds=1)
    assert matrix(bare, bare.modes[0]) is None


def test_what_cant_be_believed_is_marked_in_the_matrix_and_no_answer(plain: Results) -> None:
    """Of a pair's own row or the tenant's alone: the map says so, without a colour."""
    found, mode = copy(plain), plain.modes[0]
    name = "time_slicing/a@c2+b@c1/a"
    bad = replace(plain.rows[name], valid=False, flags=("no_steady_state",))
    found.rows = {**plain.rows, name: bad}
    table = matrix(found, mode)
    assert table is not None
    cell = table.rows[0][2]
    assert (cell.text, cell.heat, cell.tone) == ("invalid: 1.983", 0.0, "bad")
    assert cell.note == f"{name}: drifted"
    assert table.rows[1][1] == matrix(plain, mode).rows[1][1]  # type: ignore[union-attr]
    assert any("most slowed down is a beside b" in said for said in answers(plain))
    assert not any("a beside b" in said for said in answers(found))


def test_other_tables_have_a_row_each(plain: Results) -> None:
    assert [row[0].text for row in tenant_table(plain).rows] == ["a", "b"]
    assert len(fit_table(plain).rows) == 3


def test_shares_as_percent() -> None:
    assert percent_text(None) == "n/a"
    assert percent_text(Interval(0.921, 0.903, 0.939, 5)) == "92.1 % (90.3–93.9)"
    assert scale(Interval(0.5), 100) == Interval(50.0)


def test_what_a_row_is_flagged_with_is_said_in_words(plain: Results) -> None:
    def states(**changes: Any) -> set[str]:
        found = copy(plain)
        found.rows = {name: replace(row, **changes) for name, row in plain.rows.items()}
        return {row[-1].text for row in tenant_table(found).rows}

    assert states(flags=("window_cut",)) == {"short measuring time"}
    assert states(flags=("no_steady_state", "window_cut"), valid=False) == {"invalid (drifted)"}
