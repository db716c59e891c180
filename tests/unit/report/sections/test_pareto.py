"""The front in the report: what is drawn, what the table says, and when there is no section."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from support.synthetic_run import write_all_failed, write_run
from support.synthetic_variants import write_variants

from harness.analysis.objective import parse_objective
from harness.report.model.blocks import Chart, Table
from harness.report.model.context import Context, build_context
from harness.report.model.labels import load_label
from harness.report.model.section import Charts, TableBlock, Text
from harness.report.sections.pareto import FAINT, section
from harness.report.sections.points import metric_cell
from harness.results.store import read_run
from harness.scenario.metrics import METRICS


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    return build_context(read_run(write_variants(tmp_path_factory.mktemp("pareto") / "r")))


class View(NamedTuple):
    """What the section says."""

    intro: str
    charts: tuple[Chart, ...]
    table: Table


def view_of(context: Context) -> View:
    found = section(context)
    assert found is not None
    text, charts, table = found.blocks
    assert isinstance(text, Text) and isinstance(charts, Charts) and isinstance(table, TableBlock)
    return View(text.text, charts.charts, table.table)


@pytest.fixture(scope="module")
def view(context: Context) -> View:
    return view_of(context)


def test_both_charts_hold_every_point_once(context: Context, view: View) -> None:
    latency, memory = view.charts
    assert latency.title == "Pareto front: throughput and p99 latency"
    assert memory.title == "Pareto front: throughput and GPU memory"
    for chart in view.charts:
        shown = [label.partition(":")[0] for s in chart.series for label in s.labels]
        assert sorted(shown) == sorted(r.point for r in context.rows)
        assert len(chart.table.rows) == len(context.rows)
        colors = {s.name: s.color for s in chart.series}
        assert colors.pop("clearly dominated") == FAINT
        assert colors.items() <= context.colors.items()


def test_table_holds_the_front_with_what_each_dominates(view: View) -> None:
    grey = next(s for s in view.charts[0].series if s.name == "clearly dominated")
    on_front = sum(len(s.x) for s in view.charts[0].series) - len(grey.x)
    assert len(view.table.rows) == on_front
    beats = [int(row[-1].text) for row in view.table.rows]
    assert sum(beats) >= len(grey.x) and max(beats) <= len(grey.x)  # some are beaten by several
    throughput = [float(row[3].text.replace(",", "")) for row in view.table.rows]
    assert throughput == sorted(throughput, reverse=True)
    assert f"{on_front} of 18 points are on the front of" in view.intro
    # one instance without batching is as small as with it, and slower
    assert not any(row[0].text == "default" for row in view.table.rows)


def test_memory_is_that_of_every_table_and_chart(context: Context, view: View) -> None:
    """The largest of the rounds, not their mean."""
    at = [h.text for h in view.table.headers].index("GPU memory (MiB)")
    shown = {(row[0].text, row[2].text): row[at].text for row in view.table.rows}
    rows = {(context.name(r), load_label(r)): r for r in context.rows if r.batch_size == 1}
    assert shown and {k: metric_cell(rows[k], METRICS["gpu_memory_mib"]).text for k in shown} == (
        shown
    )
    drawn = {label.partition(":")[0]: x for s in view.charts[1].series
             for label, x in zip(s.labels, s.x, strict=True)}  # fmt: skip
    assert drawn == {r.point: r.gpu_memory_mib for r in context.rows}


def test_points_that_miss_a_constraint_are_left_out(context: Context) -> None:
    held = replace(context, bounds={"throughput": {"min": 600}})
    found = view_of(held)
    assert "Points that are shown to miss a constraint are left out." in found.intro
    assert all(v >= 600 for s in found.charts[0].series for v in s.y)
    assert [(b.axis, b.value) for b in found.charts[1].bounds] == [("y", 600.0)]


def test_objectives_of_the_scenario_are_the_axes(context: Context) -> None:
    wanted = parse_objective(["throughput", "gpu_memory_mib"])
    found = view_of(replace(context, objective=wanted))
    assert [c.title for c in found.charts] == ["Pareto front: throughput and GPU memory"]


def test_without_intervals_nothing_is_claimed(tmp_path: Path) -> None:
    found = view_of(build_context(read_run(write_run(tmp_path / "r", rounds=1))))
    assert found.intro.startswith("With one round there are no intervals")
    assert section(build_context(read_run(write_all_failed(tmp_path / "failed")))) is None
