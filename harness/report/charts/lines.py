"""The charts' data: which points are shown, on which axis, in which colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.analysis.best import at_decisive
from harness.analysis.intervals import Interval
from harness.analysis.speedup import cell, cells
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import FLOORS
from harness.report.model.blocks import (
    Cell,
    Chart,
    ChartSeries,
    Mode,
    ReferenceLine,
    Size,
    figure,
    interval_cell,
    listing,
    percentile_name,
    table,
    word,
)
from harness.report.model.columns import Columns, point_columns
from harness.report.model.context import Context
from harness.report.model.decision import finite
from harness.report.model.labels import bound_text, counted, load_text, short_load
from harness.report.model.numbers import both_text, mib_text
from harness.results.grouping import grouped
from harness.results.rows import PERCENTILES
from harness.scenario.metrics import METRICS, Metric, latency_name

Line = tuple[str, int, list[SummaryRow]]
"""Series, batch size, and its points by load."""
Dot = tuple[Interval, Interval, str]
"""Where it lies on x and on y, and what hovering over it says."""
MOST_LINES = 12
"""More lines than this in one chart can't be told apart: the best are shown."""
LOG_FROM = 25.0
"""An axis on which the largest value is so many times the smallest is logarithmic."""


def limits(interval: Interval | None) -> tuple[float, float] | None:
    """The interval's ends, where it has any."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high


def shared_percentile(rows: Sequence[SummaryRow]) -> str:
    """`p99` where every row has it, else the highest below that all have, else `mean`."""
    for percentile in reversed(PERCENTILES[: PERCENTILES.index("p99") + 1]):
        if all(latency(r, percentile) is not None for r in rows):
            return percentile
    return "mean"


def latency(row: SummaryRow, percentile: str) -> Interval | None:
    """A percentile of the row's latency, or with `mean` its mean."""
    return row.value(latency_name(percentile))


def percentile_note(rows: Sequence[SummaryRow], percentile: str) -> str:
    """Why the axis is not p99; empty where it is."""
    if percentile == "p99" or not rows:
        return ""
    lacking = sum(latency(r, "p99") is None for r in rows)
    fewest = min(m.requests for r in rows for m in r.measurements)
    name = percentile_name(percentile)
    shown = (
        "the mean: there is no percentile that all shown points have" if percentile == "mean"
        else f"{name}, the highest percentile that all shown points have"
    )  # fmt: skip
    return (
        f"The axis shows {shown}: p99 needs {FLOORS['p99']:,} requests a round, and {lacking} of "
        f"{len(rows)} points had fewer (as few as {fewest:,})."
    )


# ------------------------------------------------------------------------ the summary's two plots


def shown_lines(context: Context) -> tuple[list[Line], int]:
    """The lines to show, and how many the shown series have; a line's points are ordered by load.

    Of many variants the best and the default are shown. Where that still makes more lines than can
    be told apart, each series has the batch size of its best point, and at last the best are kept.
    Points of a closed and of an open loop are never on one line.
    """
    shown = (r for r in at_decisive(context.ordered) if r.valid and r.throughput is not None)
    groups = grouped(shown, lambda r: (context.name(r), r.batch_size, r.concurrency is None))
    drawn = [key for key in groups if key[0] in context.shown]
    total = len(drawn)
    if len(drawn) > MOST_LINES:
        firsts = {(name, loop): (name, size, loop) for name, size, loop in reversed(drawn)}
        drawn = [key for key in drawn if key in firsts.values()]
    reference = [k for k in drawn if k[0] == context.reference_series][:1]
    drawn = drawn[:MOST_LINES] + [k for k in reference if k not in drawn[:MOST_LINES]]
    places = {name: i for i, name in enumerate(context.series)}
    drawn.sort(key=lambda key: (places[key[0]], *key[1:]))
    return [(key[0], key[1], sorted(groups[key], key=cell)) for key in drawn], total


def summary_charts(context: Context) -> list[Chart]:
    """Throughput and memory against latency, offline against batch size; empty when nothing valid
    was measured.
    """
    return _offline(context) if context.offline else _online(context)


def _online(context: Context) -> list[Chart]:
    lines, total = shown_lines(context)
    rows = [r for _, _, group in lines for r in group]
    percentile = shared_percentile(rows)
    if not any(finite(latency(r, percentile)) for r in rows):
        return []
    notes = _summary_notes(context, lines, rows, percentile, total)
    memory, kind = _scarce_memory(rows)
    tail = METRICS[latency_name(percentile)]

    def label(row: SummaryRow, at: Interval, _: Interval) -> str:
        return (
            f"{row.point}: {both_text(row.throughput)} infer/s, {percentile_name(percentile)} "
            f"{both_text(at)} ms, {mib_text(row.gpu_memory_mib or row.host_memory_mib)} MiB"
        )

    return [
        versus(context, f"{id_}-latency", f"{title} vs. Latency", lines,
               side(tail, tail.with_unit), side(metric), label, notes=notes,
               bounds=bounds_on(context, {tail.name: "x", metric.name: "y"}))
        for id_, title, metric in (
            ("throughput", "Throughput", METRICS["throughput"]),
            ("memory", f"{kind} Memory", memory),
        )
    ]  # fmt: skip


def _scarce_memory(rows: Sequence[SummaryRow]) -> tuple[Metric, str]:
    """The GPU's memory where any was measured, else the host's; and whose it is."""
    gpu = any(r.gpu_memory_mib is not None for r in rows)
    return (METRICS["gpu_memory_mib"], "GPU") if gpu else (METRICS["host_memory_mib"], "Host")


def _summary_notes(
    context: Context, lines: list[Line], rows: list[SummaryRow], percentile: str, total: int
) -> list[str]:
    hidden = sum(not r.valid for r in context.rows)
    beyond = sum(not finite(latency(r, percentile)) for r in rows)
    notes = [
        curves(context, lines, total),
        "Each dot is one load, each bar a 95% interval.",
        percentile_note(rows, percentile),
        f"{counted(hidden, 'point')} failed or invalid: not drawn." if hidden else "",
        f"{counted(beyond, 'point')} beyond the timeout: not drawn." if beyond else "",
    ]
    return [n for n in notes if n]


def curves(context: Context, lines: Sequence[Line], total: int) -> str:
    """Which of all lines are shown, in Model Analyzer's words where it has some."""
    names = {name for name, _, _ in lines}
    said = f"Curves of {counted(len(lines), 'combination')} of configuration and batch size"
    if len(names) < len(context.series):
        best = len(names - set(context.defaults))
        said = (
            f"Curves corresponding to the {best} best model configuration(s) out of a total of "
            f"{len(context.series)}{' and to the default' if len(names) > best else ''} are shown "
            "in the plots"
        )
    of_each = len(lines) == len(names) and len(lines) < total
    return f"{said}, each at the batch size of its best point." if of_each else f"{said}."


def _offline(context: Context) -> list[Chart]:
    """Against batch size, a line a configuration."""
    lines = _batch_lines(context)
    rows = [r for _, group in lines for r in group]
    percentile = shared_percentile(rows)
    if not any(finite(latency(r, percentile)) for r in rows):
        return []
    memory, kind = _scarce_memory(rows)
    title = f"{kind} Memory vs. Batch Size"
    return [
        *batch_charts(context, lines, "batch", percentile),
        _against_batch(context, lines, memory, "memory-batch", title, memory.heading),
    ]


def _batch_lines(context: Context) -> list[tuple[str, list[SummaryRow]]]:
    drawn = {r.point for r in at_decisive(context.rows) if r.valid and r.throughput}
    groups = {n: [r for r in context.of(n) if r.point in drawn] for n in context.shown}
    ranked = [n for n in dict.fromkeys(map(context.name, context.ordered)) if groups.get(n)]
    return [(n, group) for n, group in groups.items() if n in ranked[:MOST_LINES]]


def batch_charts(
    context: Context, lines: list[tuple[str, list[SummaryRow]]], id_: str, percentile: str
) -> list[Chart]:
    """Model Analyzer's two plots of its offline mode."""
    throughput, tail = METRICS["throughput"], METRICS[latency_name(percentile)]
    note = percentile_note([r for _, group in lines for r in group], percentile)
    return [
        _against_batch(context, lines, throughput, f"throughput-{id_}",
                       "Throughput vs. Batch Size", throughput.heading),
        _against_batch(context, lines, tail, f"latency-{id_}",
                       f"{percentile_name(percentile)} Latency vs. Batch Size", tail.with_unit,
                       note),
    ]  # fmt: skip


def _against_batch(
    context: Context, lines: list[tuple[str, list[SummaryRow]]], metric: Metric, id_: str,
    title: str, y_title: str, note: str = "",
) -> Chart:  # fmt: skip
    """A metric against the batch size: equal steps, since batch sizes usually double."""
    sizes = sorted({r.batch_size for _, group in lines for r in group})
    series = (
        _values(
            context, name, [(sizes.index(r.batch_size), r, r.value(metric.name)) for r in group],
            marker=context.series.index(name),
        )
        for name, group in lines
    )  # fmt: skip
    body = [
        [word(name), figure(str(r.batch_size)), interval_cell(r.value(metric.name))]
        for name, group in lines
        for r in group
    ]
    return Chart(
        id_, title, "Batch size", y_title, tuple(s for s in series if s.x),
        table(["Configuration", "Batch", y_title], body), ticks=tuple(map(str, sizes)),
        bounds=bounds_on(context, {metric.name: "y"}), notes=(note,) if note else (), size="third",
    )  # fmt: skip


def _values(
    context: Context, name: str, values: Sequence[tuple[float, SummaryRow, Interval | None]], *,
    mode: Mode = "line", marker: int = 0, width: float = 0.5,
) -> ChartSeries:  # fmt: skip
    """A configuration's finite values at places on x, each with its interval."""
    drawn = [(x, r, v) for x, r, v in values if v and finite(v)]
    return ChartSeries(
        name, context.colors[name], tuple(float(x) for x, _, _ in drawn),
        tuple(v.value for _, _, v in drawn), mode, y_range=tuple(limits(v) for _, _, v in drawn),
        labels=tuple(f"{r.point}: {both_text(v)}" for _, r, v in drawn), marker=marker,
        hatch=marker, width=width,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Side:
    """What an axis shows: its title, and its value at a point."""

    title: str
    value: Callable[[SummaryRow], Interval | None]

    def cell(self, row: SummaryRow) -> Cell:
        """The value in a table."""
        return interval_cell(self.value(row))


def side(metric: Metric, title: str = "") -> Side:
    """An axis of a metric."""
    return Side(title or metric.heading, lambda row: row.value(metric.name))


def versus(
    context: Context, id_: str, title: str, lines: Sequence[Line], x: Side, y: Side,
    label: Callable[[SummaryRow, Interval, Interval], str], *, columns: Columns | None = None,
    notes: Sequence[str] = (), bounds: Sequence[ReferenceLine] = (), size: Size = "half",
    log_y: bool = False,
) -> Chart:  # fmt: skip
    """One figure against another: a line a configuration and batch size, a dot a load.

    `columns` stand before the two figures in the table, by default which point it is; with `log_y`
    the y axis is logarithmic where its values span much, as the x axis is.
    """
    sizes = sorted({size for _, size, _ in lines})
    series = (
        replace(dots(name, context.colors[name], [
            (at, of, label(r, at, of))
            for r in rows
            if (at := x.value(r)) is not None and finite(at) and (of := y.value(r)) is not None
        ], marker=sizes.index(size) if len(sizes) > 1 else place), dash=place)
        for name, size, rows in lines for place in (context.series.index(name),)
    )  # fmt: skip
    drawn = tuple(s for s in series if s.x)
    figures = {x.title: x.cell, y.title: y.cell}
    rows = [r for _, _, group in lines for r in group]
    return Chart(
        id_, title, x.title, y.title, drawn,
        listing(rows, (columns or point_columns(context)) | figures),
        log_x=wide([v for s in drawn for v in s.x]), notes=tuple(notes), bounds=tuple(bounds),
        log_y=log_y and wide([v for s in drawn for v in s.y]), size=size,
        markers=tuple(f"batch {size}" for size in sizes) if len(sizes) > 1 else (),
    )  # fmt: skip


def wide(values: Sequence[float]) -> bool:
    """Whether values span so much that their axis is logarithmic."""
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_FROM


def dots(
    name: str, color: str, drawn: Sequence[Dot], *, mode: Mode = "line", marker: int = 0
) -> ChartSeries:
    """Points with a bar on each axis where there is an interval."""
    return ChartSeries(
        name, color, tuple(x.value for x, _, _ in drawn), tuple(y.value for _, y, _ in drawn), mode,
        x_range=tuple(limits(x) for x, _, _ in drawn),
        y_range=tuple(limits(y) for _, y, _ in drawn),
        labels=tuple(label for _, _, label in drawn), marker=marker,
    )  # fmt: skip


def bounds_on(context: Context, axes: Mapping[str, Literal["x", "y"]]) -> tuple[ReferenceLine, ...]:
    """The constraints on the metrics that a chart's axes show."""

    def bounds() -> Iterator[ReferenceLine]:
        for name, bound in context.bounds.items():
            for limit in (bound.get("max"), bound.get("min")):
                if name in axes and limit is not None:
                    yield ReferenceLine(axes[name], float(limit), bound_text(name, bound))

    return tuple(bounds())


# --------------------------------------------------------------------------------- the comparison


def latency_by_batch(context: Context) -> Chart | None:
    """Median latency by batch size, a bar a configuration, at the smallest load."""
    valid = [r for r in at_decisive(context.rows) if r.valid]
    if not valid:
        return None
    lightest = min(cell(r)[1:] for r in valid)
    rows = [r for r in valid if cell(r)[1:] == lightest]
    load = load_text(rows[0])
    sizes = sorted({r.batch_size for r in rows})
    return _grouped(
        context, "latency-by-batch", f"Latency by batch size, {load}", rows,
        [f"batch {s}" for s in sizes], lambda r: sizes.index(r.batch_size),
        lambda r: latency(r, "p50"), "p50 latency (ms)", "Batch size", mode="bar",
    )  # fmt: skip


def speedup_chart(context: Context) -> Chart | None:
    """Throughput over the reference's in each cell, with its interval and a line at 1."""
    if context.reference is None:
        return None
    ratios = context.speedups
    rows = [r for r in context.rows if finite(ratios.get(r.point))]
    if not rows:
        return None
    places, labels = cells(rows), {cell(r): f"b{r.request} · {short_load(r)}" for r in rows}
    return _grouped(
        context, "speed-up", f"Speed-up over {context.reference_series}", rows,
        [labels[c] for c in places], lambda r: places.index(cell(r)),
        lambda r: ratios[r.point], "Ratio of throughputs",
        "Batch size (b) and load (c: concurrency)", mode="marks",
        bounds=(ReferenceLine("y", 1.0, "no difference"),),
    )  # fmt: skip


def _grouped(
    context: Context, id_: str, title: str, rows: list[SummaryRow], ticks: list[str],
    place: Callable[[SummaryRow], int], value: Callable[[SummaryRow], Interval | None],
    y_title: str, x_title: str, *, mode: Mode, bounds: tuple[ReferenceLine, ...] = (),
) -> Chart:  # fmt: skip
    """Categories on x, one trace a configuration, side by side within a category."""
    groups = grouped(rows, context.name)
    names = [name for name in context.shown if name in groups]
    rows = [r for name in names for r in groups[name]]
    step = 0.8 / max(len(names), 1)
    series = []
    for index, name in enumerate(names):
        offset = (index - (len(names) - 1) / 2) * step
        values = [(place(r) + offset, r, value(r)) for r in groups[name]]
        series.append(_values(context, name, values, mode=mode, marker=index, width=0.9 * step))
    body = [[word(ticks[place(r)]), word(context.name(r)), interval_cell(value(r))] for r in rows]
    return Chart(
        id_, title, x_title, y_title, tuple(series),
        table([x_title, "Configuration", y_title], body), ticks=tuple(ticks),
        log_y=mode == "marks" and wide([v for s in series for v in s.y]), bounds=bounds,
        zero=mode == "bar",
    )  # fmt: skip
