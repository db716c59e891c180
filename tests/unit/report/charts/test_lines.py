"""Chart data, and what both renderers make of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest
from support.rows import with_metrics
from support.synthetic_run import CPU_BACKENDS, EVIL, write_run

from harness.analysis.best import choose
from harness.report.charts import matplotlib as static
from harness.report.charts import plotly as interactive
from harness.report.charts.legend import entries
from harness.report.charts.lines import (
    MOST_LINES,
    latency_by_batch,
    shared_percentile,
    speedup_chart,
    summary_charts,
)
from harness.report.model.blocks import Bound, Chart, Series
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
        (r.latency_ms["p95"].value, r.throughput.value)
        for r in cpu.rows
        if r.valid and r.throughput and r.latency_ms["p95"]
    }
    assert shown == expected
    assert len(chart.table.rows) == len(expected)


def test_invalid_points_are_not_drawn(cpu: Context) -> None:
    events = tuple(
        replace(e, flags=("parity",)) if isinstance(e, MeasurementRow) and e.batch_size == 4 else e
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


def test_latency_parts_add_up_to_the_client_latency(cpu: Context) -> None:
    (chart, *_) = performance_charts(cpu, "triton-grpc-onnxruntime")
    bars = [s for s in chart.series if s.mode == "bar"]
    assert [s.name for s in bars] == [
        "Server Queue", "Compute Input", "Compute Infer", "Compute Output", "Client and network",
    ]  # fmt: skip
    rows = [r for r in cpu.of("triton-grpc-onnxruntime") if r.batch_size == 1]
    for i, row in enumerate(rows):
        assert row.latency_mean_ms is not None
        assert sum(s.y[i] for s in bars) == pytest.approx(row.latency_mean_ms.value)
    line = chart.series[-1]
    assert line.right
    assert line.y == tuple(r.throughput.value for r in rows if r.throughput)


def test_without_a_server_there_is_one_bar(cpu: Context) -> None:
    (chart, *_) = performance_charts(cpu, "torch-cpu-fp32")
    assert [s.name for s in chart.series if s.mode == "bar"] == ["Client latency"]


def test_plotly_takes_every_figure(cpu: Context, gpu: Context) -> None:
    for chart in [*every(cpu), *every(gpu)]:
        figure = interactive.figure(chart)
        json.dumps(figure, allow_nan=False)
        go.Figure({"data": figure["data"], "layout": figure["layout"]})  # raises on a wrong key
        assert len(figure["data"]) == len(chart.series)


def test_a_name_in_the_legend_stands_once(cpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    assert [e.name for e in entries(chart)] == [*cpu.series, "batch 1", "batch 4"]
    assert not interactive.figure(chart)["layout"]["showlegend"]  # the page has that one
    for entry in entries(chart):
        assert ElementTree.fromstring(entry.key).tag == "svg"


def test_one_name_alone_needs_no_legend(cpu: Context) -> None:
    memory = detail_charts(cpu, "torch-cpu-fp32")[-1]
    assert memory.title == "RAM Usage vs. Latency"
    assert [e.name for e in entries(memory)] == ["batch 1", "batch 4"]
    assert entries(replace(memory, markers=())) == []


def test_svg_is_well_formed_deterministic_and_holds_its_texts(cpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    drawn = static.svg(chart)
    assert drawn == static.svg(chart)
    text = "".join(ElementTree.fromstring(drawn).itertext())
    assert "p95 latency (ms)" in text
    assert "Throughput (infer/sec)" in text


def test_names_are_text_in_both_formats() -> None:
    evil = Series(EVIL, "#000000", (1.0, 2.0), (1.0, 2.0), labels=(EVIL, EVIL))
    chart = Chart("c", EVIL, EVIL, EVIL, (evil,), table=None, ticks=(EVIL, EVIL))  # type: ignore[arg-type]
    drawn = static.svg(chart)
    root = ElementTree.fromstring(drawn)
    assert EVIL in "".join(root.itertext())
    assert not [e for e in root.iter() if e.tag.endswith(("script", "img"))]
    figure = interactive.figure(chart)
    del figure["config"]
    assert "<" not in json.dumps(figure)


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


def test_a_wide_interval_does_not_squeeze_the_values_together() -> None:
    wide = Series("a", "#000000", (1.0, 2.0), (10.0, 20.0), y_range=((9.0, 11.0), (0.1, 4e6)))
    chart = Chart("c", "t", "x", "y", (wide,), table=None)  # type: ignore[arg-type]
    assert interactive.extent(chart, "y") == pytest.approx((0.0, 1.06 * 30.0))
    assert interactive.extent(replace(chart, log_y=True), "y") == pytest.approx(
        (10 / 1.5 / 1.12, 30 * 1.12)
    )
    assert interactive.figure(chart)["layout"]["yaxis"]["range"] == pytest.approx([0.0, 31.8])


def test_a_constraint_is_in_the_picture_unless_it_lies_far_away() -> None:
    series = Series("a", "#000000", (1.0, 2.0), (10.0, 20.0))
    chart = Chart("c", "t", "x", "y", (series,), table=None)  # type: ignore[arg-type]
    near, far = Bound("x", 5.0, "near"), Bound("x", 500.0, "far")
    assert interactive.extent(replace(chart, bounds=(near,)), "x") == pytest.approx((0, 5.3))
    assert interactive.extent(replace(chart, bounds=(far,)), "x") == pytest.approx((0, 2.12))
    assert interactive.near_right(chart, near)
    assert not interactive.near_right(chart, Bound("x", 0.5, "left"))


def test_an_axis_of_zeros_is_left_to_the_library() -> None:
    chart = Chart("c", "t", "x", "y", (Series("a", "#000000", (1.0,), (0.0,)),), table=None)  # type: ignore[arg-type]
    assert interactive.extent(chart, "y") is None
    assert static.svg(chart)


def test_the_right_axis_follows_the_same_rule(cpu: Context) -> None:
    chart = performance_charts(cpu, "torch-cpu-fp32")[0]
    line = chart.series[-1]
    wide = replace(line, y_range=((1.0, 1e9),) * len(line.y))
    found = interactive.extent(replace(chart, series=(*chart.series[:-1], wide)), "y", right=True)
    assert found == pytest.approx((0.0, 1.06 * 1.5 * max(line.y)))
    assert interactive.extent(chart, "y") is None  # bars, whose heights add up


def test_cores_used_have_a_chart_and_a_column_where_they_were_measured(cpu: Context) -> None:
    title = "CPU Usage vs. Latency"
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
