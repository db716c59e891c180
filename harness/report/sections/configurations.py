"""Each configuration: where the time goes, its memory and use against latency, what served it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from harness.analysis.best import at_decisive
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.report.charts import lines as plots
from harness.report.model import blocks, columns, labels, phases, served
from harness.report.model.context import Context
from harness.report.model.decision import decide, finite
from harness.report.model.numbers import both_text, significant
from harness.report.model.section import (
    Block,
    Charts,
    Code,
    Difference,
    Part,
    Section,
    TableBlock,
    Text,
    titled,
)
from harness.report.sections import colocated, flags, points, servers
from harness.scenario import metrics, variants

REST_COLOR, TOTAL_COLOR, LINE_COLOR = "#C3C9D1", "#8DA0B6", "#D55E00"

MOST_TOLD, MOST_OF_VAST = 48, 24
"""Configurations with a part, and in a run of more points than anyone looks at."""
SHOWN = 3
"""Configurations with a page of their own: the recommended one and two rivals."""
SETTINGS = ("kind", "protocol", "serve", "provider", "device", "precision", "threads", "io")


def section(context: Context) -> Section | None:
    """A part a configuration, as Model Analyzer's detailed reports; None without any."""
    if not context.series:
        return None
    open_ = _shown(context)
    ordered = dict.fromkeys((*open_, *map(context.name, context.ordered)))
    told = list(ordered)[: MOST_OF_VAST if context.vast else MOST_TOLD]
    hidden, left = len(told) - len(open_), len(context.series) - len(told)
    note = (
        f"The recommended configuration and what it is compared with are shown; the other {hidden} "
        "are in the HTML report behind their names, and in the PDF of harness report --full."
    )
    rest = (
        f"Here are the best {len(told)} of {len(context.series)} configurations; of the other "
        f"{left}, “Every point” and the CSV files have all points, harness explain the details."
    )
    blocks = (*((Text(note, "note", "short"),) if hidden else ()),
              *((Text(rest, "note"),) if left else ()))  # fmt: skip
    parts = tuple(_part(context, context.series.index(name), name, open_) for name in told)
    return Section("details", "Each configuration", blocks, parts)


def _shown(context: Context) -> dict[str, None]:
    """The recommended series, its rivals, else the next best: three; and defaults of variants."""
    found = decide(context)
    rows = [found.take, *(r.row for r in found.rivals), *found.backends]
    names = dict.fromkeys(context.name(r) for r in rows if r is not None)
    return dict.fromkeys((*list(names or context.series)[:SHOWN], *context.defaults))


def _part(context: Context, index: int, name: str, shown: Collection[str]) -> Part:
    rows, where = context.of(name), performance_charts(context, name)
    ids = {chart.id for chart in where}
    blocks: tuple[Block, ...] = (
        Text(_about(context, rows)),
        Charts(tuple(where)),
        Charts(tuple(c for c in detail_charts(context, name) if c.id not in ids), only="appendix"),
        TableBlock(points.detail_table(context, name)),
        *titled(
            ("Co-located models", colocated.colocated_table(context, rows)),
            ("Composing models", servers.composing_table(rows)),
        ),
        *titled(("The server's metrics", servers.metrics_table(rows)), only="appendix"),
        *_served(context, rows[0], name),
        # in print they stand once, at the end
        *(replace(block, only="screen") for block in flags.problems(rows)),
    )
    return Part(
        f"config-{index}", f"Configuration: {name}", blocks, name, context.colors[name],
        folded=name not in shown, appendix=True,
    )  # fmt: skip


def _about(context: Context, rows: list[SummaryRow]) -> str:
    """Settings, in Model Analyzer's words where Triton served, and how much was measured."""
    spec = context.spec(rows[0].backend)
    known = [(k.replace("_", " "), v) for k in SETTINGS if (v := spec.get(k)) not in (None, "")]
    on = {True: "on", False: "off"}
    said = (f"{key} {on[v] if isinstance(v, bool) else v}" for key, v in known)
    settings = ", ".join(said) or "settings unknown"
    if spec.get("kind") == "triton":
        settings += f"; {context.served(rows[0]).sentence()}"
    measured, requests, errors = (
        sum(getattr(r, n) for r in rows) for n in ("rounds", "requests", "errors")
    )
    return (
        f"{settings}. {labels.counted(measured, 'measurement')} with "
        f"{labels.counted(requests, 'request')}, of which {errors:,} failed."
    )


def _served(context: Context, row: SummaryRow, name: str) -> list[Block]:
    """The config.pbtxt that the server had, what differs from the default's, and its neighbours'.

    Whose text is not known is left out.
    """
    found: list[Block] = []
    default = context.names.of(row.backend, variants.DEFAULT_CONFIG)
    config, other = context.configs.get(name, ""), context.configs.get(default, "")
    if config and other and name != default:
        lines = served.difference(other, config)
        same = Text("It is the same as the default's.")
        found.append(Difference("Difference from the default", lines) if lines else same)
    if config:
        found.append(_file(config, "config.pbtxt", " "))
    return found + [
        _file(text, f"config.pbtxt of {model}", ", ")
        for model, text in colocated.configs_colocated(context, row)
    ]


def _file(text: str, title: str, joint: str) -> Code:
    return Code(text, title, f"{title}{joint}as the server had it", short_lines=True)


def detail_charts(context: Context, name: str) -> list[blocks.Chart]:
    """A configuration's charts: where the time goes, then Model Analyzer's small plots."""
    rows = [r for r in context.of(name) if r.valid]
    if context.offline:
        lines = [(name, rows)] if rows else []
        id_ = f"batch-{context.series.index(name)}"
        small = (
            plots.batch_charts(context, lines, id_, plots.shared_percentile(rows)) if rows else []
        )
        return [*performance_charts(context, name), *small]
    return [*performance_charts(context, name), *_grid(context, name, rows)]


def _grid(context: Context, name: str, rows: list[SummaryRow]) -> list[blocks.Chart]:
    """Memory, use and power against latency, a line a batch size; those that were measured."""
    percentile = plots.shared_percentile(rows)
    drawn = [r for r in rows if finite(plots.latency(r, percentile))]
    return [
        _small(context, name, drawn, percentile, metric)
        for metric in metrics.PLOTTED
        if any(r.value(metric.name) is not None for r in drawn)
    ]


def _small(
    context: Context, name: str, rows: list[SummaryRow], percentile: str, metric: metrics.Metric
) -> blocks.Chart:
    """One of the small plots; a row's batch size has the same marker in all of them."""
    known = [r for r in rows if r.value(metric.name) is not None]
    tail = metrics.METRICS[metrics.latency_name(percentile)]
    p = blocks.percentile_name(percentile)
    lines = [
        (name, size, [r for r in known if r.batch_size == size])
        for size in sorted({r.batch_size for r in rows})
    ]
    return plots.versus(
        context, f"{metric.name}-{context.series.index(name)}", f"{metric.plot} vs. Latency", lines,
        plots.side(tail, tail.with_unit), plots.side(metric),
        lambda r, x, y: f"{r.point}: {metric.title} {both_text(y)}, {p} {both_text(x)} ms",
        columns=columns.load_columns(context.load_title), size="third",
    )  # fmt: skip


def performance_charts(context: Context, name: str) -> list[blocks.Chart]:
    """ "Online Performance": where the time goes, and the throughput.

    A chart a batch size, over the load; offline one chart, over the batch size.
    """
    rows = [
        r for r in at_decisive(context.of(name)) if r.valid and finite(r.value("latency_mean_ms"))
    ]
    if context.offline:
        return [_performance(context, name, None, rows)] if rows else []
    return [
        _performance(context, name, size, [r for r in rows if r.batch_size == size])
        for size in sorted({r.batch_size for r in rows})
    ]


def _performance(
    context: Context, name: str, size: int | None, rows: list[SummaryRow]
) -> blocks.Chart:
    """One chart; without `size` the batch size is what varies."""
    parts = _parts(rows)
    throughput = [r.throughput or Interval(0.0) for r in rows]
    load = "Batch" if size is None else context.load_title
    ticks = tuple(labels.load_label(r) if size is not None else str(r.batch_size) for r in rows)
    headers = [load, *(f"{t} (ms)" for t, _, _ in parts), "Throughput (infer/s)"]
    body = [[blocks.figure(tick), *(blocks.figure(significant(v[i])) for _, _, v in parts),
             blocks.interval_cell(throughput[i])] for i, tick in enumerate(ticks)]  # fmt: skip
    return blocks.Chart(
        f"performance-{context.series.index(name)}-{size or 'all'}",
        "Offline Performance" if size is None else f"Online Performance, batch {size}", load,
        "Mean latency (ms)", _stack(rows, parts, throughput), blocks.table(headers, body),
        right_title="Throughput (infer/s)", ticks=ticks, stacked=True, size="third",
    )  # fmt: skip


def _stack(
    rows: list[SummaryRow], parts: list[tuple[str, str, list[float]]], throughput: list[Interval]
) -> tuple[blocks.ChartSeries, ...]:
    """A bar for each part on top of each other, and the throughput on the right axis."""
    x = tuple(float(i) for i in range(len(rows)))
    places = [labels.place_text(r) for r in rows]
    bars = (
        blocks.ChartSeries(title, color, x, tuple(values), "bar", hatch=place, labels=tuple(
            f"{at}: {title} {significant(v)} ms"
            for at, v in zip(places, values, strict=True)
        ))
        for place, (title, color, values) in enumerate(parts)
    )  # fmt: skip
    line = blocks.ChartSeries(
        "Throughput", LINE_COLOR, x, tuple(i.value for i in throughput),
        y_range=tuple(plots.limits(i) for i in throughput),
        labels=tuple(
            f"{place}: {both_text(i)} infer/s"
            for place, i in zip(places, throughput, strict=True)
        ),
        right=True,
    )  # fmt: skip
    return (*bars, line)


def _parts(rows: list[SummaryRow]) -> list[tuple[str, str, list[float]]]:
    """Title, colour and milliseconds of what the mean latency is made of."""
    if not any(r.server_us for r in rows):
        means = [r.plain("latency_mean_ms") or 0.0 for r in rows]
        return [("Mean latency", TOTAL_COLOR, means)]
    return [
        *(
            (title, color, [r.server_us.get(key, 0.0) / 1e3 for r in rows])
            for key, title, color in phases.STACK
        ),
        ("Client and network", REST_COLOR, [phases.rest_ms(r) or 0.0 for r in rows]),
    ]
