from __future__ import annotations

import re
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest
from support.shared import scenario, write_shared

from harness.report.outputs.html import render_html
from harness.tenants.report import view_of, write_report
from harness.tenants.results import Results


def test_the_report_has_answers_tables_and_a_heat_map(good: Results) -> None:
    found = good
    html = write_report(found).read_text("utf-8")
    assert "2 replicas of a hold p99" in html
    assert "Interference under time-slicing" in html
    heat = re.findall(r"background:rgba\(213,94,0,([0-9.]+)\)", html)
    assert len(heat) == 4
    assert max(map(float, heat)) == pytest.approx(0.3, abs=0.015)  # twice as long: half the scale
    assert [s.id for s in view_of(found).sections] == [
        "summary", "sharing", "tenants", "target", "method",
    ]  # fmt: skip
    (chart,) = view_of(found).all_charts()
    assert [s.name for s in chart.series] == ["2 × time-slicing", "4 × time-slicing"]
    assert all(r is not None for s in chart.series for r in s.y_range)


def test_what_was_not_asked_has_no_section_and_a_failure_a_banner(tmp_path: Path) -> None:
    found = write_shared(tmp_path / "run", scenario(), fail="dedicated/b@c1", rounds=1)
    assert [s.id for s in view_of(found).sections] == ["summary", "tenants", "method"]
    html = write_report(found).read_text("utf-8")
    assert "Could not be measured: dedicated/b@c1: no memory" in html


def test_a_predicted_matrix_is_a_heat_map_of_its_own(predicted: Results) -> None:
    html = write_report(predicted).read_text("utf-8")
    assert [s.id for s in view_of(predicted).sections] == [
        "summary", "tenants", "predicted", "method",
    ]  # fmt: skip
    assert "Predicted interference under time-slicing" in html
    assert "of 2 slow-downs that no prediction had seen" in html


def test_a_machine_that_was_busy_is_said_first_and_no_file_is_named_that_is_not_there(
    plain: Results,
) -> None:
    found = copy(plain)
    found.rows = {
        name: replace(row, flags=("foreign_load",), measurements=tuple(
            replace(m, flags=("foreign_load",)) for m in row.measurements))
        for name, row in plain.rows.items()
    }  # fmt: skip
    html = render_html(view_of(found))
    assert "The machine was not this run&#39;s alone" in html and "rounds_max" not in html
    assert f"{len(found.rows)} of {len(found.rows)} points" in html and "summary.csv" not in html
