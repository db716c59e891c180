"""What every section starts from: order and names of series, what is shown, what was served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_variants import VARIANTS

from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import summary_charts
from harness.report.model.context import Context, build_context
from harness.report.outputs.csv import write_csvs
from harness.report.sections.points import best_table
from harness.results.store import read_run


def test_default_comes_first_whatever_was_measured_first(variants: Context) -> None:
    assert variants.data.measurements[0].config != "default"
    assert variants.series[0] == "default"
    assert set(variants.series) == {v.name for v in VARIANTS}
    assert variants.reference_series == "default"


def test_summary_shows_the_three_best_and_the_default(variants: Context) -> None:
    assert set(variants.shown) == {
        "default",
        "i4-mb8-dyn",
        "i2-mb8-dyn",
        "i2-dyn",
    }
    throughput, memory = summary_charts(variants)
    assert {s.name for s in throughput.series} == set(variants.shown)
    assert {s.name for s in memory.series} == set(variants.shown)
    assert throughput.notes[0] == (
        "Curves corresponding to the 3 best model configuration(s) out of a total of 6 and to the "
        "default are shown in the plots."
    )
    assert [(b.axis, b.value) for b in throughput.bounds] == [("x", 60.0)]
    assert len(best_table(variants).rows) == 6  # the table has all


def test_without_the_servers_word_a_list_says_nothing(variants: Context) -> None:
    bare = replace(variants, configs={})
    row = bare.of("i2")[0]
    found = bare.served(row)
    assert (found.max_batch_size, found.dynamic_batching, found.instances) == ("n/a",) * 3


def test_settings_are_those_that_the_server_had(variants: Context, tmp_path: Path) -> None:
    rows = {r[1].text: [c.text for c in r] for r in best_table(variants).rows}
    assert rows["i4-mb8-dyn"][4:7] == ["8", "Enabled", "4"]
    assert rows["default"][4:7] == ["4", "Disabled", "1"]
    (path, *_) = write_csvs(variants, tmp_path)
    lines = [x.split(",") for x in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert {(x[3], x[4], x[5]) for x in lines} == {
        (v.name, f"{v.instances}:GPU", str(v.max_batch)) for v in VARIANTS
    }


def test_no_row_is_compared_with_every_other(
    variants: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which took two minutes with 300 points; a point's name is enough to tell it from others."""
    expected = [row.point for row in variants.ordered]

    def compared(*_: object) -> bool:
        raise AssertionError("rows were compared")

    monkeypatch.setattr(SummaryRow, "__eq__", compared)
    assert [row.point for row in replace(variants).ordered] == expected
    assert sorted(expected) == sorted(row.point for row in variants.rows)
    assert summary_charts(variants)


def test_of_very_many_series_the_best_and_the_reference_are_compared(
    cpu_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.model.context.MOST_SERIES", 1)
    context = build_context(read_run(cpu_run))
    best = context.name(context.ordered[0])
    assert {*context.shown} == {best, context.reference_series}
    assert context.shown == [s for s in context.series if s in context.shown], "in their order"
