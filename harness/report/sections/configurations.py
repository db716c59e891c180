"""The charts of one configuration: where the time goes, and its memory and use against latency."""

from __future__ import annotations

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import (
    batch_charts,
    dots,
    finite,
    latency,
    limits,
    marker_of,
    shared_percentile,
    wide,
)
from harness.report.model.blocks import Chart, Series, figure, interval_cell, percentile_name, table
from harness.report.model.context import Context
from harness.report.model.labels import load_label, place_text
from harness.report.model.numbers import both_text, significant
from harness.scenario.metrics import PLOTTED, Metric

STACK = (
    ("queue", "Server Queue", "#E69F00"),
    ("compute_input", "Compute Input", "#56B4E9"),
    ("compute_infer", "Compute Infer", "#0072B2"),
    ("compute_output", "Compute Output", "#009E73"),
)
"""Triton's parts of a request in Model Analyzer's order: key, name, colour."""
REST_COLOR, TOTAL_COLOR, LINE_COLOR = "#C3C9D1", "#8DA0B6", "#D55E00"


def detail_charts(context: Context, name: str) -> list[Chart]:
    """A configuration's charts: where the time goes, then Model Analyzer's small plots."""
    rows = [r for r in context.of(name) if r.valid]
    if context.offline:
        lines = [(name, rows)] if rows else []
        id_ = f"batch-{context.series.index(name)}"
        small = batch_charts(context, lines, id_, shared_percentile(rows)) if rows else []
        return [*performance_charts(context, name), *small]
    return [*performance_charts(context, name), *_grid(context, name, rows)]


def _grid(context: Context, name: str, rows: list[SummaryRow]) -> list[Chart]:
    """Memory, use and power against latency, a line a batch size; those that were measured."""
    percentile = shared_percentile(rows)
    drawn = [r for r in rows if finite(latency(r, percentile))]
    sizes = sorted({r.batch_size for r in drawn})
    charts = []
    for metric in PLOTTED:
        known = [r for r in drawn if r.value(metric.name) is not None]
        if not known:
            continue
        x_title = f"{percentile_name(percentile)} latency (ms)"
        series = tuple(
            _small(context, name, [r for r in known if r.batch_size == size], metric, percentile,
                   marker_of(size, sizes))
            for size in sizes
        )  # fmt: skip
        body = [
            [
                figure(str(r.batch_size)), figure(load_label(r)),
                interval_cell(latency(r, percentile)),
                interval_cell(r.value(metric.name)),
            ]
            for r in known
        ]  # fmt: skip
        charts.append(Chart(
            f"{metric.name}-{context.series.index(name)}", f"{metric.plot} vs. Latency", x_title,
            metric.axis, series,
            table(["Batch", context.load_title, x_title, metric.axis], body), size="third",
            log_x=wide([v for s in series for v in s.x]),
            markers=tuple(f"batch {s}" for s in sizes) if len(sizes) > 1 else (),
        ))  # fmt: skip
    return charts


def _small(
    context: Context, name: str, rows: list[SummaryRow], metric: Metric, percentile: str,
    marker: int,
) -> Series:  # fmt: skip
    drawn = [
        (x, y, f"{r.point}: {metric.axis} {both_text(y)}, {percentile_name(percentile)} "
               f"{both_text(x)} ms")
        for r in rows
        if (x := latency(r, percentile)) is not None and (y := r.value(metric.name)) is not None
    ]  # fmt: skip
    return dots(name, context.colors[name], drawn, marker=marker)


def performance_charts(context: Context, name: str) -> list[Chart]:
    """ "Online Performance": where the time goes, and the throughput.

    A chart a batch size, over the load; offline one chart, over the batch size.
    """
    rows = [r for r in context.of(name) if r.valid and finite(r.latency_mean_ms)]
    if context.offline:
        return [_performance(context, name, None, rows)] if rows else []
    return [
        _performance(context, name, size, [r for r in rows if r.batch_size == size])
        for size in sorted({r.batch_size for r in rows})
    ]


def rest_ms(row: SummaryRow) -> float | None:
    """Mean latency that the server's parts don't explain: client, network, serialising."""
    if row.latency_mean_ms is None or not row.server_us:
        return None
    return max(
        0.0, row.latency_mean_ms.value - sum(row.server_us.get(k, 0) for k, _, _ in STACK) / 1e3
    )


def _performance(context: Context, name: str, size: int | None, rows: list[SummaryRow]) -> Chart:
    """One chart; without `size` the batch size is what varies."""
    split = any(r.server_us for r in rows)
    x = tuple(float(i) for i in range(len(rows)))
    parts = _parts(rows) if split else [("Client latency", TOTAL_COLOR, [_mean(r) for r in rows])]
    bars = [
        Series(title, color, x, tuple(values), "bar", labels=tuple(
            f"{place_text(r)}: {title} {significant(v)} ms"
            for r, v in zip(rows, values, strict=True)
        ))
        for title, color, values in parts
    ]  # fmt: skip
    intervals = [r.throughput or Interval(0.0) for r in rows]
    line = Series(
        "Throughput", LINE_COLOR, x, tuple(i.value for i in intervals),
        y_range=tuple(limits(i) for i in intervals),
        labels=tuple(
            f"{place_text(r)}: {both_text(i)} infer/sec"
            for r, i in zip(rows, intervals, strict=True)
        ),
        right=True,
    )  # fmt: skip
    ticks = tuple(load_label(r) if size is not None else str(r.batch_size) for r in rows)
    load, axis = ("Load", "Load") if context.open_loop else (
        "Request Concurrency", "Concurrent client requests"
    )  # fmt: skip
    if size is None:
        load = axis = "Client Batch Size"
    headers = [load, *(f"{t} (ms)" for t, _, _ in parts), "Throughput (infer/sec)"]
    body = [
        [
            figure(tick),
            *(figure(significant(v[i])) for _, _, v in parts),
            interval_cell(intervals[i]),
        ]
        for i, tick in enumerate(ticks)
    ]
    return Chart(
        f"performance-{context.series.index(name)}-{size or 'all'}",
        "Offline Performance" if size is None else f"Online Performance, batch {size}", axis,
        "Average latency (ms)",
        (*bars, line), table(headers, body), right_title="Throughput (infer/sec)",
        ticks=ticks, stacked=True, size="third",
    )  # fmt: skip


def _mean(row: SummaryRow) -> float:
    return row.latency_mean_ms.value if row.latency_mean_ms is not None else 0.0


def _parts(rows: list[SummaryRow]) -> list[tuple[str, str, list[float]]]:
    parts = [
        (title, color, [r.server_us.get(key, 0.0) / 1e3 for r in rows])
        for key, title, color in STACK
    ]
    return [*parts, ("Client and network", REST_COLOR, [rest_ms(r) or 0.0 for r in rows])]
