"""Chart data, and what both renderers make of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.rows import with_metrics
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.analysis.best import choose
from harness.report.charts.lines import (
    MOST_LINES,
    latency_by_batch,
    shared_percentile,
    speedup_chart,
    summary_charts,
)
from harness.report.model.blocks import Chart
from harness.report.model.context import COLORS, REFERENCE_COLOR, Context, build_context
from harness.report.sections.configurations import detail_charts, performance_charts
from harness.report.sections.points import points_table
from harness.results.events import JournalLine, UnknownEvent
from harness.results.rows import PERCENTILES, MeasurementRow
from harness.results.store import read_run


def every(context: Context) -> list[Chart]:
    more = [latency_by_batch(context), speedup_chart(context)]
    details = [c for name in context.series for c in detail_charts(context, name)]
    return [*summary_charts(context), *(c for c in more if c is not None), *details]


def test_axis_is_the_highest_percentile_that_all_points_have(cpu: Context, gpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    assert chart.x_title == "p95 latency (ms)"  # slow points had too few requests for p99
    assert any("p99 needs 662 requests a round" in note for note in chart.notes)
    assert summary_charts(gpu)[0].x_title == "p99 latency (ms)"
    assert not any("needs" in note for note in summary_charts(gpu)[0].notes)


def test_without_a_shared_percentile_the_mean_is_shown(cpu: Context) -> None:
    row = with_metrics(cpu.rows[0], **{f"latency_{p}_ms": None for p in PERCENTILES})
    assert shared_percentile([row, *cpu.rows[1:5]]) == "mean"


def test_memory_is_the_gpus_where_there_is_one(cpu: Context, gpu: Context) -> None:
    assert summary_charts(cpu)[1].title == "Host Memory vs. Latency"
    assert summary_charts(gpu)[1].title == "GPU Memory vs. Latency"


def test_constraint_is_a_line_on_the_axis_it_belongs_to(gpu: Context) -> None:
    assert [(b.axis, b.value) for b in summary_charts(gpu)[0].bounds] == [("x", 20.0)]


def test_points_in_the_chart_are_those_of_the_rows(cpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    shown = {(x, y) for s in chart.series for x, y in zip(s.x, s.y, strict=True)}
    expected = {
        (r.value("latency_p95_ms").value, r.throughput.value)
        for r in cpu.rows
        if r.valid and r.throughput and r.value("latency_p95_ms")
    }
    assert shown == expected
    assert len(chart.table.rows) == len(expected)


def test_invalid_points_are_not_drawn(cpu: Context) -> None:
    events = tuple(
        replace(e, flags=("client_late",))
        if isinstance(e, MeasurementRow) and e.batch_size == 4
        else e
        for e in cpu.data.events
    )
    chart = summary_charts(build_context(replace(cpu.data, events=events)))[0]
    assert sum(len(s.x) for s in chart.series) == 12
    assert "12 points failed or invalid: not drawn." in chart.notes


def test_a_backend_has_one_colour_everywhere(cpu: Context) -> None:
    assert cpu.colors["torch-cpu-fp32"] == REFERENCE_COLOR
    assert set(cpu.colors.values()) <= {REFERENCE_COLOR, *COLORS}
    for chart in [*summary_charts(cpu), latency_by_batch(cpu), speedup_chart(cpu)]:
        assert chart is not None
        assert {s.name: s.color for s in chart.series}.items() <= cpu.colors.items()


def test_many_lines_are_cut_to_the_best_batch_size_of_each(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", batch_sizes=(1, 2, 3, 4), failures=False)
    context = build_context(read_run(run))
    chart = summary_charts(context)[0]
    assert [s.name for s in chart.series] == context.series
    for series in chart.series:
        rows = context.of(series.name)
        best = max(rows, key=lambda r: r.throughput.value if r.throughput else 0.0)
        shown = [r for r in rows if r.batch_size == best.batch_size]
        assert series.y == tuple(r.throughput.value for r in shown if r.throughput)
    assert chart.notes[0] == (
        "Curves of 4 combinations of configuration and batch size, each at the batch size of its "
        "best point."
    )


def test_more_backends_than_lines_keep_the_best_and_the_reference(tmp_path: Path) -> None:
    many = [replace(CPU_BACKENDS[1], name=f"b{i:02}", item_ms=20 + i) for i in range(20)]
    slow = replace(CPU_BACKENDS[0], item_ms=90)
    run = write_run(tmp_path / "r", backends=[slow, *many], batch_sizes=(1,), failures=False)
    context = build_context(read_run(run))
    names = [s.name for s in summary_charts(context)[0].series]
    assert names == ["torch-cpu-fp32", *(f"b{i:02}" for i in range(MOST_LINES))]
    colors = [context.colors[n] for n in names]
    assert len(set(colors)) == len(colors)  # told apart by colour alone


def opened(event: JournalLine | UnknownEvent) -> JournalLine | UnknownEvent:
    """Concurrency 2 becomes a rate and 4 a ramp: three kinds of load in one run."""
    if not isinstance(event, MeasurementRow) or event.concurrency not in (2, 4):
        return event
    load = "r150" if event.concurrency == 2 else "ramp"
    point = f"{event.point.rpartition('/')[0]}/{load}"
    rate = 150.0 if load == "r150" else None
    return replace(event, point=point, concurrency=None, request_rate=rate)


def test_closed_and_open_loops_are_kept_apart(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", backends=CPU_BACKENDS[:3], failures=False)
    data = read_run(run)
    context = build_context(replace(data, events=tuple(opened(e) for e in data.events)))
    assert context.load_title == "Load"
    assert len(summary_charts(context)[0].series) == 12  # three backends, two batches, two loops
    chart = speedup_chart(context)
    assert chart is not None
    assert chart.ticks == (
        "b1 · c1", "b1 · ramp", "b1 · 150/s", "b4 · c1", "b4 · ramp", "b4 · 150/s",
    )  # fmt: skip
    values = {r.point: r.throughput.value for r in context.rows if r.throughput}
    ratio = values["onnxruntime-cpu-fp32/b4/ramp"] / values["torch-cpu-fp32/b4/ramp"]
    onnx = chart.series[0]
    drawn = dict(zip((label.partition(":")[0] for label in onnx.labels), onnx.y, strict=True))
    assert drawn["onnxruntime-cpu-fp32/b4/ramp"] == pytest.approx(ratio)
    assert performance_charts(context, "torch-cpu-fp32")[0].ticks == ("1", "ramp", "150/s")


def test_cores_used_have_a_chart_and_a_column_where_they_were_measured(cpu: Context) -> None:
    title = "CPU Use vs. Latency"
    name = cpu.name(cpu.rows[0])
    assert title not in [c.title for c in detail_charts(cpu, name)]
    assert "CPU use (cores)" not in [h.text for h in points_table(cpu).headers]
    rows = tuple(with_metrics(r, cpu_cores=1.75) for r in cpu.rows)
    choice = choose(rows, cpu.objective, cpu.bounds)
    context = replace(cpu, rows=rows, choice=choice)
    (chart,) = (c for c in detail_charts(context, name) if c.title == title)
    assert chart.y_title == "CPU use (cores)"
    assert {y for s in chart.series for y in s.y} == {1.75}
    headers = [h.text for h in points_table(context).headers]
    assert points_table(context).rows[0][headers.index("CPU use (cores)")].text == "1.75"
