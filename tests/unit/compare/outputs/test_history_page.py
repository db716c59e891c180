"""The history as a page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from harness.compare.history import Change, Observation, Series
from harness.compare.outputs.history_page import MOST_CHARTS, chart, view_of, write_html

RUNS = tuple(
    Observation(
        f"2026-11-{n:02d}T10:00:00+00:00", f"reports/run{n}",
        {"numpy": "2.0" if n < 9 else "2.1", "onnx": "1.18" if n < 4 else "1.19"},
        10.0 if n < 9 else 12.0,
    )
    for n in range(1, 17)
)  # fmt: skip
CHANGE = Change(RUNS[8], 0.2, True, {"numpy": ("2.0", "2.1")})
P50 = Series("nightly", "a", "{}", "", "b1/c1", "p50", RUNS, (CHANGE,), (8,))
CALM = replace(P50, backend="calm", changes=(), steps=())


def test_a_chart_has_the_runs_the_levels_and_the_versions_at_the_change() -> None:
    found = chart(P50, "x")
    dots, before, after = found.series
    assert dots.y == tuple(run.value for run in RUNS)
    assert [round(y, 6) for y in (*before.y, *after.y)] == [10.0, 10.0, 12.0, 12.0]
    assert before.x[-1] < after.x[0]
    (bound,) = found.bounds
    assert (bound.axis, bound.value, bound.label) == ("x", 8.5, "numpy 2.0 → 2.1")


def test_a_step_within_the_tolerance_moves_the_level_and_is_no_change() -> None:
    found = chart(replace(P50, changes=()), "x")
    assert len(found.series) == 3
    assert found.bounds == ()


def test_the_table_of_a_chart_says_every_change_of_version() -> None:
    cells = [[cell.text for cell in row] for row in chart(P50, "x").table.rows]
    assert [(row[0], row[3]) for row in cells if row[3]] == [
        ("4", "onnx 1.18 → 1.19"), ("9", "numpy 2.0 → 2.1"),
    ]  # fmt: skip


def test_points_with_changes_come_first_and_not_all_have_a_chart() -> None:
    calm = [replace(CALM, point=f"b{n}/c1") for n in range(MOST_CHARTS)]
    view = view_of([*calm, P50])
    points = [x.title for x in view.sections if x.id.startswith("point-")]
    assert points[0] == "nightly: a/b1/c1"
    assert len(points) < len(calm)


def test_machines_of_the_same_name_are_told_apart() -> None:
    other = replace(
        CALM, backend="a", machine="{2}", runs=(replace(RUNS[0], path="reports/other"), RUNS[1])
    )
    first, second = (x for x in view_of([P50, other]).sections if x.id.startswith("point-"))
    assert first.title == second.title
    assert "reports/other" in str(second.blocks[0])


def test_the_page_stands_alone(tmp_path: Path) -> None:
    write_html(tmp_path / "h.html", [P50])
    text = (tmp_path / "h.html").read_text("utf-8")
    assert "1 change of level" in text
    assert "numpy 2.0 → 2.1" in text
    write_html(tmp_path / "none.html", [])
    assert "0 changes of level" in (tmp_path / "none.html").read_text("utf-8")


def test_what_can_not_be_found_yet_is_said_and_one_run_is_no_chart() -> None:
    one = replace(CALM, runs=RUNS[:1])
    view = view_of([one])
    said = " ".join(str(block) for block in view.sections[0].blocks)
    assert "0 changes" in said and " in 1 series of 1 run." in said and "for the worse" not in said
    assert "None can be found before a series has 6 runs." in said
    assert not [x for x in view.sections if x.id.startswith("point-")]
    whole = " ".join(str(block) for block in view_of([P50]).sections[0].blocks)
    assert "None can be found" not in whole and ", 1 of them for the worse," in whole
