"""The Pareto front in the report: charts and the table of points that nobody clearly beats."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from harness.analysis.best import ranked
from harness.analysis.constraints import satisfies
from harness.analysis.intervals import Interval
from harness.analysis.pareto import Dominance, Front, front, margin, trade_off_metrics
from harness.analysis.summary import SummaryRow
from harness.report.charts.lines import bounds_on, dots, shared_percentile, wide
from harness.report.model import blocks, columns, numbers
from harness.report.model.context import Context
from harness.report.model.labels import counted, listed
from harness.report.model.section import Charts, Section, TableBlock, Text
from harness.report.sections.points import metric_column
from harness.results.grouping import grouped
from harness.scenario.metrics import METRICS

FAINT, CROSS = "#CDD3DA", 4
LEAST = 3
"""Fewer points than this make no front worth a section."""


def section(context: Context) -> Section | None:
    """The front in words, drawn and as a table; None with fewer than three points that may be
    ranked.
    """
    rows = [r for r in ranked(context.rows) if satisfies(r, context.bounds) != "no"]
    found = front(rows, front_metrics(context, rows), context.differences)
    if found.judged < LEAST:
        return None
    known = {*found.dominated, *(r.point for r in found.rows)}
    judged = [r for r in rows if r.point in known]
    x_metrics = [m for m in found.metrics if m != found.metrics[0]]
    return Section("pareto", "Pareto front", (
        Text(_intro(context, found), "prose"),
        Charts(tuple(_chart(context, found, judged, metric) for metric in x_metrics)),
        TableBlock(_table(context, found, judged), "Points on the front"),
    ))  # fmt: skip


def front_metrics(context: Context, rows: Sequence[SummaryRow]) -> tuple[str, ...]:
    """The objectives, where the scenario names several; else throughput, latency and memory."""
    if context.objective.pareto:
        return context.objective.metrics
    return trade_off_metrics(rows, shared_percentile(rows))


def _title(metric: str) -> str:
    return METRICS[metric].title


def _intro(context: Context, found: Front) -> str:
    names = listed([_title(m) for m in found.metrics])
    said = (
        f"{len(found.rows)} of {counted(found.judged, 'point')} are on the front of {names}: of "
        "none of them is it shown that another point is better in one of these and not worse in "
        "the others."
    )
    if not found.decidable:
        return (
            "With one round there are no intervals, so no point can be shown to be beaten: all "
            f"{found.judged} are on the front of {names}."
        )
    margins = " and ".join(f"{100 * margin(m):g}% in {_title(m)}" for m in found.metrics)
    held = " Points that are shown to miss a constraint are left out." if context.bounds else ""
    return (
        f"{said} Better means that the 95% interval of the ratio excludes 1; not worse, that it "
        f"excludes a loss of {margins} and shows no smaller one.{held}"
    )


def _value(row: SummaryRow, metric: str) -> Interval:
    """A point's value, as everywhere; of those on the front and behind it all are known."""
    return row.value(metric) or Interval(math.nan)


def _chart(context: Context, found: Front, rows: Sequence[SummaryRow], metric: str) -> blocks.Chart:
    """The first metric against another: the front in colours over the rest in grey."""
    first = found.metrics[0]
    beaten = [r for r in rows if r.point in found.dominated]
    some = blocks.thinned(beaten)
    groups = grouped(found.rows, context.name)
    series = [_marks("clearly dominated", FAINT, some, found, metric, bars=False, marker=CROSS)]
    series += [
        _marks(name, context.colors[name], groups[name], found, metric, marker=i + (i >= CROSS))
        for i, name in enumerate(context.series)
        if name in groups
    ]
    return blocks.Chart(
        f"pareto-{metric.replace('_', '-')}",
        f"Pareto front: {_title(first)} and {_title(metric)}", METRICS[metric].heading,
        METRICS[first].heading, tuple(s for s in series if s.x),
        _chart_table(context, found, rows, metric),
        log_x=wide([v for s in series for v in s.x]),
        bounds=bounds_on(context, {metric: "x", first: "y"}),
        notes=blocks.some_of(len(some), len(beaten)),
    )  # fmt: skip


def _marks(
    name: str, color: str, rows: Sequence[SummaryRow], found: Front, metric: str, *,
    bars: bool = True, marker: int = 0,
) -> blocks.ChartSeries:  # fmt: skip
    drawn = [(_value(r, metric), _value(r, found.metrics[0]), _label(r, found)) for r in rows]
    if not bars:
        drawn = [(Interval(x.value), Interval(y.value), label) for x, y, label in drawn]
    return dots(name, color, drawn, mode="marks", marker=marker)


def _label(row: SummaryRow, found: Front) -> str:
    values = ", ".join(f"{_title(m)} {numbers.both_text(_value(row, m))}" for m in found.metrics)
    by = found.dominated.get(row.point)
    return f"{row.point}: {values}" + (f"; dominated by {by}" if by else "")


def _chart_table(
    context: Context, found: Front, rows: Sequence[SummaryRow], metric: str
) -> blocks.Table:
    return blocks.listing(rows, {
        **columns.point_columns(context),
        **{METRICS[m].with_unit: metric_column(m) for m in (metric, found.metrics[0])},
        "Clearly dominated by": lambda r: blocks.word(found.dominated.get(r.point, "on the front")),
    })  # fmt: skip


def _table(context: Context, found: Front, judged: Sequence[SummaryRow]) -> blocks.Table:
    """The front, the best in its first metric first."""
    first = METRICS[found.metrics[0]]
    pairs = Dominance(judged, found.metrics, context.differences)
    places = {row.point: place for place, row in enumerate(judged)}
    beaten = np.array([places[point] for point in found.dominated], np.intp)

    def beats(row: SummaryRow) -> int:
        return pairs.under(places[row.point], beaten)

    ordered = sorted(found.rows, key=lambda r: -first.sign * _value(r, first.name).value)
    return blocks.listing(ordered, {
        **columns.point_columns(context, swatch=True),
        **{METRICS[m].heading: metric_column(m) for m in found.metrics},
        "Points it clearly dominates": lambda r: blocks.figure(str(beats(r))),
    }, ["A point may be dominated by several."])  # fmt: skip
