"""The tables of points: the summary's, every point's, one configuration's."""

from __future__ import annotations

from harness.analysis.constraints import satisfies
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import FLOORS
from harness.report.charts import STACK, rest_ms
from harness.report.context import Context, best_first
from harness.report.facts import sequence
from harness.report.numbers import (
    NOT_AVAILABLE,
    PERCENTILE_NAMES,
    mib_text,
    significant,
)
from harness.report.parts import Cell, Table, figure, interval_cell, percentile_cell, table, word
from harness.report.words import flag_text, load_label, series_name

RANK_NOTE = (
    "Points with the same rank (1=) can't be told apart from the best of their group by the 95% "
    "intervals of their ratios."
)
INTERVAL_NOTE = "Under each value stands its 95% interval over the rounds."


def server_settings(context: Context, backend: str) -> tuple[str, str, str]:
    """Max batch size, dynamic batching and total instance count; `—` where there is no server."""
    spec = context.spec(backend)
    if spec.get("kind") != "triton":
        return "—", "—", "—"
    largest = max((int(b) for b in sequence(context.scenario, "load", "batch_sizes")), default=None)
    most = spec.get("max_batch_size") or largest
    batching = "Enabled" if spec.get("dynamic_batching") else "Disabled"
    return str(most or NOT_AVAILABLE), batching, str(spec.get("instances", 1))


def _name(context: Context, row: SummaryRow) -> Cell:
    name = series_name(row)
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
        return word("failed", tone="bad", note=note)
    if not row.valid:
        return word("invalid", tone="bad", note=note)
    if row.failures:
        return word("a round failed", tone="bad", note=note)
    shown = [f for f in row.flags if f != "few_requests"]
    if shown:
        return word(", ".join(f.replace("_", " ") for f in shown), note=note)
    return word("ok", tone="good", note=note)


def best_table(context: Context) -> Table:
    """The best point of each configuration, best first: Model Analyzer's columns."""
    firsts: dict[str, SummaryRow] = {}
    for row in best_first(context):
        firsts.setdefault(series_name(row), row)
    headers = [
        "Rank", "Model Config Name", "Batch", context.load_title, "Max Batch Size",
        "Dynamic Batching", "Total Instance Count", "p50 Latency (ms)", "p99 Latency (ms)",
        "Throughput (infer/sec)", *_memory_headers(context),
    ]  # fmt: skip
    body = [
        [
            word(context.ranks.get(r.point, "—")), _name(context, r), figure(str(r.batch_size)),
            figure(load_label(r)), *(word(s) for s in server_settings(context, r.backend)),
            percentile_cell("p50", r.latency_ms.get("p50")),
            percentile_cell("p99", r.latency_ms.get("p99")),
            interval_cell(r.throughput), *_memory(context, r),
        ]
        for r in firsts.values()
    ]  # fmt: skip
    gpu = [] if context.has_gpu else ["No GPU was measured, so the GPU columns are left out."]
    return table(headers, body, [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context), *gpu])


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
    """Every point, best first, with what holds it back."""
    percentiles = context.shown_percentiles()
    bounded = ["Constraints"] if context.bounds else []
    headers = [
        "Rank", "Configuration", "Batch", context.load_title, "Rounds", "Throughput (infer/sec)",
        *(f"{PERCENTILE_NAMES[p]} (ms)" for p in percentiles), *_short_memory_headers(context),
        "Errors", *bounded, "Status",
    ]  # fmt: skip
    body = [
        [
            word(context.ranks.get(r.point, "—")), _name(context, r), figure(str(r.batch_size)),
            figure(load_label(r)), figure(str(r.rounds)), interval_cell(r.throughput),
            *(percentile_cell(p, r.latency_ms.get(p)) for p in percentiles),
            *_memory(context, r), figure(f"{r.errors:,} of {r.requests:,}" if r.errors else "0"),
            *([_constraint_cell(context, r)] if bounded else []), status_cell(r),
        ]
        for r in best_first(context)
    ]  # fmt: skip
    return table(headers, body, [INTERVAL_NOTE, RANK_NOTE, *_floor_note(context)])


def _constraint_cell(context: Context, row: SummaryRow) -> Cell:
    answer = satisfies(row, context.bounds)
    if answer == "yes":
        return word("yes", tone="good")
    return word("no", tone="bad") if answer == "no" else word("not shown", tone="muted")


def detail_table(context: Context, name: str) -> Table:
    """Model Analyzer's detailed columns with every percentile and interval, a row a point."""
    rows = context.of(name)
    split = any(r.server_us for r in rows)
    percentiles = context.shown_percentiles()
    parts = (
        [f"{title} (ms)" for _, title, _ in STACK] + ["Client and network (ms)"] if split else []
    )
    headers = [
        "Batch", "Load" if context.open_loop else "Request Concurrency",
        *(f"{PERCENTILE_NAMES[p]} Latency (ms)" for p in percentiles),
        "Client Response Wait (ms)", *parts, "Throughput (infer/sec)", *_memory_headers(context),
        "Status",
    ]  # fmt: skip
    body = [
        [
            figure(str(r.batch_size)), figure(load_label(r)),
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
