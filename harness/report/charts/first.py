"""Page 1's chart: throughput against the tail, what is recommended over all that was measured."""

from __future__ import annotations

from dataclasses import replace

from harness.analysis.best import ranked
from harness.analysis.summary import SummaryRow
from harness.report.charts.geometry import FAINT
from harness.report.charts.lines import dots
from harness.report.model import blocks
from harness.report.model.columns import point_columns
from harness.report.model.context import Context
from harness.report.model.decision import Decision, finite
from harness.report.model.labels import counted, short_load
from harness.report.model.numbers import both_text
from harness.report.sections.points import metric_cell
from harness.scenario.metrics import METRICS, latency_name


def first_chart(context: Context, found: Decision) -> blocks.Chart | None:
    """Logarithmic on both axes; the path of the recommended point's load is labelled with batch
    and load, its rivals are coloured, the rest is grey. None where nothing can be drawn.
    """
    tail, rate = METRICS[latency_name(found.percentile)], METRICS["throughput"]
    rows = [r for r in ranked(context.rows) if finite(r.value(tail.name))
            and r.throughput is not None and r.throughput.value > 0]  # fmt: skip
    if found.take is None or not rows:
        return None
    paths = [_path(rows, r) for r in (found.take, *(v.row for v in found.rivals))]
    drawn = [row for path in paths for row in path]
    named = {r.point for r in drawn}
    rest = [r for r in rows if r.point not in named]
    some = blocks.thinned(rest)
    others = _dots("other points", FAINT, some, found.percentile)
    lines = [replace(others, mode="marks", x_range=(), y_range=())]
    for place, path in enumerate(paths):
        for name in dict.fromkeys(map(context.name, path)):
            line = _dots(name, context.colors[name], path, found.percentile)
            texts = tuple(f"b{r.batch_size}/{short_load(r)}" for r in path if place == 0)
            lines.append(replace(line, marker=place, texts=texts))
    return blocks.Chart(
        "first", "Throughput against tail latency", tail.with_unit, rate.heading,
        tuple(s for s in lines if s.x), blocks.listing(rows, {
            **point_columns(context),
            tail.heading: lambda r: metric_cell(r, tail),
            rate.heading: lambda r: metric_cell(r, rate),
        }), log_x=True, log_y=True,
        notes=(*_undrawn(context, found.percentile), *blocks.some_of(len(some), len(rest))),
    )  # fmt: skip


def _dots(name: str, color: str, rows: list[SummaryRow], percentile: str) -> blocks.ChartSeries:
    p = blocks.percentile_name(percentile)
    return dots(name, color, [
        (x, y, f"{r.point}: {both_text(y)} infer/s, {p} {both_text(x)} ms")
        for r in rows if (x := r.value(latency_name(percentile))) and (y := r.throughput)
    ])  # fmt: skip


def _undrawn(context: Context, percentile: str) -> tuple[str, ...]:
    """Which points are not in the chart, as page 1 counts them."""
    lacking = sum(not finite(r.value(latency_name(percentile))) for r in ranked(context.rows))
    if not lacking:
        return ()
    p = blocks.percentile_name(percentile)
    return (f"Not drawn: {counted(lacking, 'point')} without {p} (too few requests in a round).",)


def _path(rows: list[SummaryRow], row: SummaryRow) -> list[SummaryRow]:
    """The points of a series at one batch size, by load."""
    return sorted(
        (r for r in rows if (r.backend, r.config, r.batch_size) == (row.backend, row.config,
                                                                    row.batch_size)),
        key=lambda r: r.load_value,
    )  # fmt: skip
