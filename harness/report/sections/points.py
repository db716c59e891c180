"""The tables of points: the summary's, every point's, one configuration's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from harness.analysis import best
from harness.analysis.constraints import satisfies
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import FLOORS
from harness.measure.validity import short
from harness.report.model import blocks, labels, numbers, phases
from harness.report.model.columns import Columns, errors_cell, holds_cell, load_columns, series_cell
from harness.report.model.context import Context
from harness.report.model.judged import judged
from harness.report.model.section import Section, TableBlock, Text
from harness.results.grouping import firsts
from harness.scenario.metrics import METRICS, Metric, latency_name
from harness.triton.counters.statistics import LOOKUPS

RANK_NOTE = (
    "Ranks follow the value. Neighbours with the same rank (1=) can't be told apart from the best "
    "of their group by the 95% intervals of their ratios; the first paragraph names all that can't "
    "be told apart from the best."
)
BEST_PERCENTILES = ("p50", "p99")
MOST_DETAILED, MOST_OF_VAST, MOST_HELD = 300, 100, 16
"""Points with a fold of their own, and in a run of more than anyone looks at."""
INTERVAL_NOTE = "Under each value stands its 95% interval over the rounds."


def section(context: Context) -> Section | None:
    """Every point, ranked; None of a run that searched for capacities only."""
    if context.searched and not context.rows:
        return None
    if not (anchors := tuple(r.point for r in context.ordered)):
        return Section("points", "Every point", (Text("No point was measured."),))
    block = TableBlock(points_table(context), notes_first=True, anchors=anchors)
    return Section("points", "Every point", (block,), appendix=True)


def metric_cell(row: SummaryRow, metric: Metric) -> blocks.Cell:
    """A metric's value over its interval, or the value alone."""
    value = row.value(metric.name)
    if metric.percentile:
        return blocks.percentile_cell(metric.percentile, value)
    if metric.over_rounds == "interval":
        return blocks.interval_cell(value)
    found = blocks.number_cell(None if value is None else value.value)
    least = row.least(metric.name) if metric.over_rounds == "largest" else None
    lowest = found.text if least is None else blocks.number_cell(least).text
    return found if lowest == found.text else replace(found, text=f"{lowest}–{found.text}")


def metric_column(name: str) -> Callable[[SummaryRow], blocks.Cell]:
    """What a table's column says of a metric."""
    return lambda row: metric_cell(row, METRICS[name])


def _percentiles(percentiles: Sequence[str], end: str) -> Columns:
    return {numbers.PERCENTILE_NAMES[p] + end: metric_column(latency_name(p)) for p in percentiles}


def _use(context: Context) -> Columns:
    """What a point needed of host and GPU; of a GPU only where there is one."""
    shown = (
        m for m in METRICS.values()
        if m.column and (context.has_gpu if m.gpu else not m.optional
                         or any(r.value(m.name) for r in context.rows))
    )  # fmt: skip
    return {m.heading: metric_column(m.name) for m in shown}


def _ranked(context: Context) -> Columns:
    """Rank, and the configuration with its colour."""
    return {
        "Rank": lambda row: blocks.word(context.ranks.get(row.point, "—")),
        "Configuration": lambda row: series_cell(context, context.name(row)),
        **load_columns(context.load_title),
    }


def _served(context: Context) -> Columns:
    """What a server was told; `—` where there is none."""
    return {
        "Max Batch Size": lambda row: blocks.word(context.served(row).max_batch_size),
        "Dynamic Batching": lambda row: blocks.word(context.served(row).dynamic_batching),
        "Total Instance Count": lambda row: blocks.word(context.served(row).instances),
    }


THROUGHPUT: Columns = {METRICS["throughput"].heading: metric_column("throughput")}
ERRORS: Columns = {"Errors": lambda row: errors_cell(row.errors, row.requests)}


def status_cell(row: SummaryRow) -> blocks.Cell:
    """`ok`, or in short what is wrong; hovering says it in words."""
    note = "; ".join(labels.flag_text(f) for f in row.flags)
    found = _status(row, note)
    rounds = labels.disturbed_text(len(row.every), row.rounds_disturbed)
    return replace(found, text=f"{found.text}; {rounds}") if rounds else found


def _status(row: SummaryRow, note: str) -> blocks.Cell:
    if not row.rounds:
        return blocks.status("failed", tone="bad", note=note)
    if not row.valid:
        return blocks.status(f"invalid ({labels.why_invalid(row)})", tone="bad", note=note)
    if row.failures:
        return blocks.status("a round failed", tone="bad", note=note)
    shown = [f for f in row.flags if f != "few_requests"]
    if shown:
        return blocks.status(", ".join(short(f) for f in shown), note=note)
    return blocks.status("ok", tone="good", note=note)


def best_table(context: Context) -> blocks.Table:
    """The best point of each configuration, best first: Model Analyzer's columns."""
    columns = {
        **_ranked(context), **_served(context),
        **_percentiles(BEST_PERCENTILES, " latency (ms)"), **THROUGHPUT, **_use(context), **ERRORS,
    }  # fmt: skip
    gpu = [] if context.has_gpu else ["No GPU was measured, so the GPU columns are left out."]
    notes = [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context), *_unranked_note(context), *gpu]
    usable = filter(best.usable, context.ordered)
    return blocks.listing(firsts(usable, context.name), columns, notes)


def held_table(context: Context) -> blocks.Table:
    """Each constraint at the best point of each configuration."""
    columns: Columns = {**_ranked(context), **_constraints(context), "Status": status_cell}
    return blocks.listing(firsts(context.ordered, context.name), columns, most=MOST_HELD)


def _unranked_note(context: Context) -> list[str]:
    """Whose best point may be another: a configuration's points that were left out."""
    lost = Counter(context.name(r) for r in context.rows if not best.usable(r))
    if not lost:
        return []
    found = ", ".join(f"{count} of {name}" for name, count in lost.items())
    return [f"Points that failed or are invalid are not looked at here: {found}."]


def _floor_note(context: Context) -> list[str]:
    if not context.lacking:
        return []
    floors = ", ".join(f"{numbers.PERCENTILE_NAMES[p]} {FLOORS[p]:,}" for p in context.lacking)
    return [f"n/a: a round had fewer requests than the percentile needs ({floors})."]


def points_table(context: Context) -> blocks.Table:
    """Every point, best first; what holds it back stands before the figures, where a narrow
    window shows it.
    """
    bounded: Columns = _constraints(context) | {
        "Constraints": lambda row: holds_cell(satisfies(row, context.bounds))
    }
    told = {row.point for row in detailed(context)}
    columns = {
        **_ranked(context), "Rounds": lambda row: blocks.figure(
            f"{row.rounds} of {len(row.every)}" if row.disturbed else str(row.rounds)
        ),
        **(bounded if context.bounds else {}),
        "Status": lambda row: replace(
            status_cell(row), link=row.point if row.point in told else ""
        ),
        **THROUGHPUT, **_percentiles(context.shown_percentiles, " (ms)"),
        **_use(context), **ERRORS,
    }  # fmt: skip
    return blocks.listing(
        context.ordered, columns, [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context)],
        most=len(context.rows),
    )  # fmt: skip


def detailed(context: Context) -> list[SummaryRow]:
    """The points of which the page has the details: what was measured, of very many the best."""
    measured = [row for row in (*context.ordered, *context.searched) if row.rounds]
    return measured[: MOST_OF_VAST if context.vast else MOST_DETAILED]


def _constraints(context: Context) -> Columns:
    """A column a constraint: whether it holds, with the value; hovering says what would tell."""
    return {
        labels.bound_text(n, b): partial(_constraint, context, n) for n, b in context.bounds.items()
    }


def _constraint(context: Context, name: str, row: SummaryRow) -> blocks.Cell:
    found = next(j for j in judged(context, row) if j.metric == name)
    note = found.needs and f"{found.needs} would tell"
    return holds_cell(found.judgement.holds, found.text, note)


def detail_table(context: Context, name: str) -> blocks.Table:
    """Model Analyzer's detailed columns with every percentile and interval, a row a point."""
    rows = context.of(name)
    split = any(r.server_us for r in rows)
    size: Columns = {"Batch": lambda row: blocks.figure(row.request)}
    columns = {
        **(size if context.offline else load_columns(context.load_title)),
        **_percentiles(context.shown_percentiles, " latency (ms)"),
        METRICS["latency_mean_ms"].heading: metric_column("latency_mean_ms"),
        **(_server_parts() if split else {}), **_cache_hits(rows), **THROUGHPUT, **_use(context),
        "Status": status_cell,
    }  # fmt: skip
    notes = [
        "Latency is the time from sending a request to having its answer"
        + (
            "; the server's parts are its own statistics over the same window, and what they leave "
            "is client and network."
            if split
            else "."
        ),
    ]
    return blocks.listing(rows, columns, [INTERVAL_NOTE, *notes, *_floor_note(context)])


def _cache_hits(rows: Sequence[SummaryRow]) -> Columns:
    """The share of look-ups that the server's response cache answered; nothing without one."""

    def hits(row: SummaryRow) -> float | None:
        caches = [m.details.get("cache", {}) for m in row.measurements]
        found, asked = (
            sum(c.get(key, 0.0) for c in caches for key in keys) for keys in (LOOKUPS[:1], LOOKUPS)
        )
        return 100 * found / asked if asked else None

    known = any(hits(row) is not None for row in rows)
    return {"Cache hits (%)": lambda row: blocks.number_cell(hits(row))} if known else {}


def _server_parts() -> Columns:
    """Triton's parts of a request, and what they leave of the client's mean."""

    def part(key: str) -> Callable[[SummaryRow], blocks.Cell]:
        return lambda row: blocks.number_cell(
            row.server_us.get(key, 0.0) / 1e3 if row.server_us else None
        )

    titles = {k: t if t.startswith("Server") else f"Server {t}" for k, t, _ in phases.STACK}
    return {
        **{f"{title} (ms)": part(key) for key, title in titles.items()},
        "Client and network (ms)": lambda row: blocks.number_cell(phases.rest_ms(row)),
    }
