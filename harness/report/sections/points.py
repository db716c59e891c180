"""The tables of points: the summary's, every point's, one configuration's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from harness.analysis.best import usable
from harness.analysis.constraints import satisfies
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import FLOORS
from harness.report.model.blocks import (
    Cell,
    Table,
    figure,
    interval_cell,
    percentile_cell,
    status,
    table,
    word,
)
from harness.report.model.context import Context, best_first
from harness.report.model.labels import flag_text, load_label, why_invalid
from harness.report.model.numbers import NOT_AVAILABLE, PERCENTILE_NAMES, significant
from harness.report.sections.configurations import STACK, rest_ms
from harness.scenario.metrics import METRICS, Metric, latency_name

Column = tuple[str, Callable[[SummaryRow], Cell]]
"""A title, and a point's cell."""
RANK_NOTE = (
    "Points with the same rank (1=) can't be told apart from the best of their group by the 95% "
    "intervals of their ratios."
)
BEST_PERCENTILES = ("p50", "p99")
INTERVAL_NOTE = "Under each value stands its 95% interval over the rounds."


def column_table(
    columns: Sequence[Column], rows: Sequence[SummaryRow], notes: list[str] | None = None
) -> Table:
    """A row a point."""
    return table([title for title, _ in columns], [[cell(r) for _, cell in columns] for r in rows],
                 notes)  # fmt: skip


def metric_cell(row: SummaryRow, metric: Metric) -> Cell:
    """A metric's value over its interval, or the value alone."""
    value = row.value(metric.name)
    if metric.percentile:
        return percentile_cell(metric.percentile, value)
    if metric.over_rounds == "interval":
        return interval_cell(value)
    return figure(NOT_AVAILABLE if value is None else significant(value.value))


def _metric(metric: Metric, title: str) -> Column:
    return title, lambda row: metric_cell(row, metric)


def _percentiles(percentiles: Sequence[str], end: str) -> list[Column]:
    return [_metric(METRICS[latency_name(p)], PERCENTILE_NAMES[p] + end) for p in percentiles]


def _use(context: Context, *, short: bool = False) -> list[Column]:
    """What a point needed of host and GPU; of a GPU only where there is one."""
    shown = (
        m for m in METRICS.values()
        if m.column and (context.has_gpu if m.gpu else not m.optional
                         or any(r.value(m.name) for r in context.rows))
    )  # fmt: skip
    return [_metric(m, (m.short or m.heading) if short else m.column) for m in shown]


def configuration(context: Context, title: str = "Configuration") -> Column:
    """Its name with its colour."""

    def cell(row: SummaryRow) -> Cell:
        name = context.name(row)
        return word(name, swatch=context.colors[name])

    return title, cell


def _rank(context: Context) -> Column:
    return "Rank", lambda row: word(context.ranks.get(row.point, "—"))


def batch(title: str = "Batch") -> Column:
    """Its batch size."""
    return title, lambda row: figure(str(row.batch_size))


def load(title: str) -> Column:
    """Its load in short."""
    return title, lambda row: figure(load_label(row))


def _served(context: Context) -> list[Column]:
    """What a server was told; `—` where there is none."""
    return [
        ("Max Batch Size", lambda row: word(context.served(row).max_batch_size)),
        ("Dynamic Batching", lambda row: word(context.served(row).dynamic_batching)),
        ("Total Instance Count", lambda row: word(context.served(row).instances)),
    ]


THROUGHPUT = _metric(METRICS["throughput"], METRICS["throughput"].heading)


def status_cell(row: SummaryRow) -> Cell:
    """`ok`, or in short what is wrong; hovering says it in words."""
    note = "; ".join(flag_text(f) for f in row.flags)
    if not row.rounds:
        return status("failed", tone="bad", note=note)
    if not row.valid:
        return status(f"invalid ({why_invalid(row)})", tone="bad", note=note)
    if row.failures:
        return status("a round failed", tone="bad", note=note)
    shown = [f for f in row.flags if f != "few_requests"]
    if shown:
        return status(", ".join(f.replace("_", " ") for f in shown), note=note)
    return status("ok", tone="good", note=note)


def best_table(context: Context) -> Table:
    """The best point of each configuration, best first: Model Analyzer's columns."""
    firsts: dict[str, SummaryRow] = {}
    for row in best_first(context):
        firsts.setdefault(context.name(row), row)
    columns = [
        _rank(context), configuration(context, "Model Config Name"), batch(),
        load(context.load_title), *_served(context),
        *_percentiles(BEST_PERCENTILES, " Latency (ms)"), THROUGHPUT, *_use(context), ERRORS,
    ]  # fmt: skip
    gpu = [] if context.has_gpu else ["No GPU was measured, so the GPU columns are left out."]
    notes = [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context), *_unranked_note(context), *gpu]
    return column_table(columns, list(firsts.values()), notes)


def _unranked_note(context: Context) -> list[str]:
    """Whose best point may be another: a configuration's points that were left out."""
    lost = Counter(context.name(r) for r in context.rows if not usable(r))
    if not lost:
        return []
    found = ", ".join(f"{count} of {name}" for name, count in lost.items())
    return [f"Points that failed or are invalid are not looked at here: {found}."]


def _floor_note(context: Context) -> list[str]:
    lacking = [
        p for p in context.shown_percentiles()
        if any(r.rounds and r.latency_ms.get(p) is None for r in context.rows)
    ]  # fmt: skip
    if not lacking:
        return []
    floors = ", ".join(f"{PERCENTILE_NAMES[p]} {FLOORS[p]:,}" for p in lacking)
    return [f"n/a: a round had fewer requests than the percentile needs ({floors})."]


def points_table(context: Context) -> Table:
    """Every point, best first; what holds it back stands before the figures, where a narrow
    window shows it.
    """
    percentiles = context.shown_percentiles()
    bounded: list[Column] = [("Constraints", lambda row: _constraint_cell(context, row))]
    columns = [
        _rank(context), configuration(context), batch(),
        load(context.load_title), ("Rounds", lambda row: figure(str(row.rounds))),
        *(bounded if context.bounds else []), STATUS, THROUGHPUT,
        *_percentiles(percentiles, " (ms)"), *_use(context, short=True), ERRORS,
    ]  # fmt: skip
    return column_table(
        columns, best_first(context), [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context)]
    )


def _errors(row: SummaryRow) -> Cell:
    return figure(f"{row.errors:,} of {row.requests:,}" if row.errors else "0")


def _constraint_cell(context: Context, row: SummaryRow) -> Cell:
    answer = satisfies(row, context.bounds)
    if answer == "yes":
        return word("yes", tone="good")
    return word("no", tone="bad") if answer == "no" else word("not shown", tone="muted")


def detail_table(context: Context, name: str) -> Table:
    """Model Analyzer's detailed columns with every percentile and interval, a row a point."""
    rows = context.of(name)
    split = any(r.server_us for r in rows)
    load_ = load("Load" if context.open_loop else "Request Concurrency")
    columns = [
        *([batch("Client Batch Size")] if context.offline else [batch(), load_]),
        *_percentiles(context.shown_percentiles(), " Latency (ms)"),
        _metric(METRICS["latency_mean_ms"], "Client Response Wait (ms)"),
        *(_server_parts() if split else []), THROUGHPUT, *_use(context), STATUS,
    ]  # fmt: skip
    notes = [
        "Client Response Wait is the mean time from sending a request to having its answer"
        + (
            "; the server's parts are its own statistics over the same window, and what they leave "
            "is client and network."
            if split
            else "."
        ),
    ]
    return column_table(columns, rows, [INTERVAL_NOTE, *notes, *_floor_note(context)])


def _server_parts() -> list[Column]:
    """Triton's parts of a request, and what they leave of the client's mean."""

    def part(key: str, title: str) -> Column:
        name = title if title.startswith("Server") else f"Server {title}"
        return f"{name} (ms)", lambda row: _ms(
            row.server_us.get(key, 0.0) / 1e3 if row.server_us else None
        )

    rest: Column = ("Client and network (ms)", lambda row: _ms(rest_ms(row)))
    return [*(part(key, title) for key, title, _ in STACK), rest]


def _ms(value: float | None) -> Cell:
    return figure(NOT_AVAILABLE if value is None else significant(value))


STATUS: Column = ("Status", status_cell)
ERRORS: Column = ("Errors", _errors)
