"""The tables of points: the summary's, every point's, one configuration's."""

from __future__ import annotations

from collections import Counter

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
from harness.report.model.columns import errors_cell, holds_cell
from harness.report.model.context import Context, best_first
from harness.report.model.labels import flag_text, load_label, why_invalid
from harness.report.model.numbers import (
    NOT_AVAILABLE,
    PERCENTILE_NAMES,
    mib_text,
    significant,
)
from harness.report.model.phases import STACK, rest_ms
from harness.report.model.section import Section, TableBlock, Text

RANK_NOTE = (
    "Points with the same rank (1=) can't be told apart from the best of their group by the 95% "
    "intervals of their ratios."
)
BEST_PERCENTILES = ("p50", "p99")
INTERVAL_NOTE = "Under each value stands its 95% interval over the rounds."


def section(context: Context) -> Section:
    """Every point, ranked."""
    found = points_table(context)
    block = TableBlock(found, notes_first=True) if found.rows else Text("No point was measured.")
    return Section("points", "Every point", (block,))


def server_settings(context: Context, row: SummaryRow) -> tuple[str, str, str]:
    """Max batch size, dynamic batching and total instance count; `—` where there is no server."""
    found = context.served(row)
    return found.max_batch_size, found.dynamic_batching, found.instances


def _name(context: Context, row: SummaryRow) -> Cell:
    name = context.name(row)
    return word(name, swatch=context.colors[name])


def _memory(context: Context, row: SummaryRow) -> list[Cell]:
    """Max CPU memory, and on a GPU machine max GPU memory and average GPU utilisation."""
    cells_ = [figure(mib_text(row.host_memory_mib))]
    if context.has_gpu:
        usage = row.gpu_utilization_percent
        cells_ += [
            figure(mib_text(row.gpu_memory_mib)),
            figure(NOT_AVAILABLE if usage is None else significant(usage)),
        ]
    return cells_


def _short_memory_headers(context: Context) -> list[str]:
    gpu = ["GPU memory (MiB)", "GPU util. (%)"]
    return ["Host memory (MiB)", *(gpu if context.has_gpu else [])]


def _memory_headers(context: Context) -> list[str]:
    gpu = ["Max GPU Memory Usage (MiB)", "Average GPU Utilization (%)"]
    return ["Max CPU Memory Usage (MiB)", *(gpu if context.has_gpu else [])]


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
    headers = [
        "Rank", "Model Config Name", "Batch", context.load_title, "Max Batch Size",
        "Dynamic Batching", "Total Instance Count",
        *(f"{p} Latency (ms)" for p in BEST_PERCENTILES), "Throughput (infer/sec)",
        *_memory_headers(context), "Errors",
    ]  # fmt: skip
    body = [
        [
            word(context.ranks.get(r.point, "—")), _name(context, r), figure(str(r.batch_size)),
            figure(load_label(r)), *(word(s) for s in server_settings(context, r)),
            *(percentile_cell(p, r.latency_ms.get(p)) for p in BEST_PERCENTILES),
            interval_cell(r.throughput), *_memory(context, r), errors_cell(r.errors, r.requests),
        ]
        for r in firsts.values()
    ]  # fmt: skip
    gpu = [] if context.has_gpu else ["No GPU was measured, so the GPU columns are left out."]
    notes = [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context), *_unranked_note(context), *gpu]
    return table(headers, body, notes)


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
    bounded = ["Constraints"] if context.bounds else []
    headers = [
        "Rank", "Configuration", "Batch", context.load_title, "Rounds", *bounded, "Status",
        "Throughput (infer/sec)", *(f"{PERCENTILE_NAMES[p]} (ms)" for p in percentiles),
        *_short_memory_headers(context), "Errors",
    ]  # fmt: skip
    body = [
        [
            word(context.ranks.get(r.point, "—")), _name(context, r), figure(str(r.batch_size)),
            figure(load_label(r)), figure(str(r.rounds)),
            *([holds_cell(satisfies(r, context.bounds))] if bounded else []), status_cell(r),
            interval_cell(r.throughput),
            *(percentile_cell(p, r.latency_ms.get(p)) for p in percentiles),
            *_memory(context, r), errors_cell(r.errors, r.requests),
        ]
        for r in best_first(context)
    ]  # fmt: skip
    return table(headers, body, [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context)])


def detail_table(context: Context, name: str) -> Table:
    """Model Analyzer's detailed columns with every percentile and interval, a row a point."""
    rows = context.of(name)
    split = any(r.server_us for r in rows)
    percentiles = context.shown_percentiles()
    titles = [t if t.startswith("Server") else f"Server {t}" for _, t, _ in STACK]
    parts = [f"{title} (ms)" for title in (*titles, "Client and network")] if split else []
    load = "Load" if context.open_loop else "Request Concurrency"
    headers = [
        *(["Client Batch Size"] if context.offline else ["Batch", load]),
        *(f"{PERCENTILE_NAMES[p]} Latency (ms)" for p in percentiles),
        "Client Response Wait (ms)", *parts, "Throughput (infer/sec)", *_memory_headers(context),
        "Status",
    ]  # fmt: skip
    body = [
        [
            figure(str(r.batch_size)), *([] if context.offline else [figure(load_label(r))]),
            *(percentile_cell(p, r.latency_ms.get(p)) for p in percentiles),
            interval_cell(r.latency_mean_ms), *(_split(r) if split else []),
            interval_cell(r.throughput), *_memory(context, r), status_cell(r),
        ]
        for r in rows
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
    return table(headers, body, [INTERVAL_NOTE, *notes, *_floor_note(context)])


def _split(row: SummaryRow) -> list[Cell]:
    if not row.server_us:
        return [figure(NOT_AVAILABLE)] * (len(STACK) + 1)
    rest = rest_ms(row)
    return [
        *(figure(significant(row.server_us.get(key, 0.0) / 1e3)) for key, _, _ in STACK),
        figure(NOT_AVAILABLE if rest is None else significant(rest)),
    ]
