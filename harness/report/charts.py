"""The charts' data: which points are shown, on which axis, in which colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from harness.analysis.compare_backends import cell, cells, speedups
from harness.analysis.constraints import metric as value_of
from harness.analysis.summary import Interval, SummaryRow
from harness.measure.quantiles import FLOORS
from harness.report.context import Context, best_first
from harness.report.numbers import both_text, mib_text, significant
from harness.report.parts import (
    Bound,
    Chart,
    Series,
    Table,
    figure,
    interval_cell,
    percentile_name,
    table,
    word,
)
from harness.report.words import bound_text, counted, load_label, load_text, series_name
from harness.run.rows import PERCENTILES

MOST_LINES = 12
"""More lines than this in one chart can't be told apart: the best are shown."""
LOG_FROM = 25.0
"""An axis on which the largest value is so many times the smallest is logarithmic."""
STACK = (
    ("queue", "Server Queue", "#E69F00"),
    ("compute_input", "Compute Input", "#56B4E9"),
    ("compute_infer", "Compute Infer", "#0072B2"),
    ("compute_output", "Compute Output", "#009E73"),
)
"""Triton's parts of a request in Model Analyzer's order: key, name, colour."""
REST_COLOR, TOTAL_COLOR, LINE_COLOR = "#C3C9D1", "#8DA0B6", "#D55E00"


def _finite(interval: Interval | None) -> bool:
    return interval is not None and math.isfinite(interval.value)


def _limits(interval: Interval | None) -> tuple[float, float] | None:
    if interval is None or interval.low is None or interval.high is None:
        return None
    return interval.low, interval.high


def shared_percentile(rows: Sequence[SummaryRow]) -> str:
    """`p99` where every row has it, else the highest below that all have, else `mean`."""
    for percentile in reversed(PERCENTILES[: PERCENTILES.index("p99") + 1]):
        if all(r.latency_ms.get(percentile) is not None for r in rows):
            return percentile
    return "mean"


def latency(row: SummaryRow, percentile: str) -> Interval | None:
    """A percentile of the row's latency, or with `mean` its mean."""
    return row.latency_mean_ms if percentile == "mean" else row.latency_ms.get(percentile)


def _percentile_note(rows: Sequence[SummaryRow], percentile: str) -> str:
    if percentile == "p99" or not rows:
        return ""
    lacking = sum(r.latency_ms.get("p99") is None for r in rows)
    fewest = min(m.requests for r in rows for m in r.measurements)
    return (
        f"The axis shows {percentile_name(percentile)}, the highest percentile that all shown "
        f"points have: p99 needs {FLOORS['p99']:,} requests a round, and {lacking} of {len(rows)} "
        f"points had fewer (as few as {fewest:,})."
    )


# ------------------------------------------------------------------------ the summary's two plots


def _lines(context: Context) -> tuple[list[tuple[str, int, list[SummaryRow]]], int]:
    """(series, batch size, points by load) of the lines to show, and how many there are in all.

    Points of a closed and of an open loop are never on one line.
    """
    groups: dict[tuple[str, int, bool], list[SummaryRow]] = {}
    for row in best_first(context):
        if row.valid and row.throughput is not None:
            key = (series_name(row), row.batch_size, row.concurrency is None)
            groups.setdefault(key, []).append(row)
    kept = list(groups)[:MOST_LINES]
    kept += [k for k in groups if k[0] == context.reference and k not in kept][:1]
    places = {name: i for i, name in enumerate(context.series)}
    kept.sort(key=lambda key: (places[key[0]], *key[1:]))
    lines = [(key[0], key[1], sorted(groups[key], key=cell)) for key in kept]
    return lines, len(groups)


def summary_charts(context: Context) -> list[Chart]:
    """Throughput and memory against latency; empty when nothing valid was measured."""
    lines, total = _lines(context)
    rows = [r for _, _, group in lines for r in group]
    percentile = shared_percentile(rows)
    if not any(_finite(latency(r, percentile)) for r in rows):
        return []
    notes = _summary_notes(context, lines, rows, percentile, total)
    gpu = any(r.gpu_memory_mib is not None for r in rows)
    key = "gpu_memory_mib" if gpu else "host_memory_mib"
    x_title = f"{percentile_name(percentile)} latency (ms)"
    plots = [
        ("throughput-latency", "Throughput vs. Latency", "throughput", "Throughput (infer/sec)"),
        (
            "memory-latency", f"{'GPU' if gpu else 'Host'} Memory vs. Latency", key,
            f"Peak {'GPU' if gpu else 'host'} memory (MiB)",
        ),
    ]  # fmt: skip
    return [
        _against_latency(context, lines, percentile, metric, id_, title, x_title, y_title, notes)
        for id_, title, metric, y_title in plots
    ]


def _summary_notes(
    context: Context, lines: list[Any], rows: list[SummaryRow], percentile: str, total: int
) -> list[str]:
    best = "" if total == len(lines) else " best"
    hidden = sum(not r.valid for r in context.rows)
    beyond = sum(not _finite(latency(r, percentile)) for r in rows)
    notes = [
        f"Curves of the {len(lines)}{best} out of {counted(total, 'combination')} of configuration "
        "and batch size; each dot is one load, each bar a 95% interval.",
        _percentile_note(rows, percentile),
        f"{counted(hidden, 'point')} failed or invalid: not drawn." if hidden else "",
        f"{counted(beyond, 'point')} beyond the timeout: not drawn." if beyond else "",
    ]
    return [n for n in notes if n]


def _against_latency(
    context: Context, lines: list[tuple[str, int, list[SummaryRow]]], percentile: str, metric: str,
    id_: str, title: str, x_title: str, y_title: str, notes: list[str],
) -> Chart:  # fmt: skip
    sizes = sorted({size for _, size, _ in lines})
    series = [
        _line(context, name, size, rows, percentile, metric, sizes) for name, size, rows in lines
    ]
    values = [v for s in series for v in s.x]
    return Chart(
        id_, title, x_title, y_title, tuple(s for s in series if s.x),
        _line_table(lines, percentile, metric, [context.load_title, x_title, y_title]),
        log_x=_wide(values), bounds=tuple(_bounds(context, percentile, metric)),
        notes=tuple(notes), half=True,
        markers=tuple(f"batch {size}" for size in sizes) if len(sizes) > 1 else (),
    )  # fmt: skip


def _wide(values: Sequence[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_FROM


def _line(
    context: Context, name: str, size: int, rows: list[SummaryRow], percentile: str, metric: str,
    sizes: list[int],
) -> Series:  # fmt: skip
    found = [(r, latency(r, percentile), value_of(r, metric)) for r in rows]
    drawn = [(r, x, y) for r, x, y in found if x is not None and _finite(x) and y is not None]
    return Series(
        name,
        context.colors[name],
        tuple(x.value for _, x, _ in drawn),
        tuple(y.value for _, _, y in drawn),
        x_range=tuple(_limits(x) for _, x, _ in drawn),
        y_range=tuple(_limits(y) for _, _, y in drawn),
        labels=tuple(
            f"{r.point}: {both_text(r.throughput)} infer/sec, {percentile_name(percentile)} "
            f"{both_text(x)} ms, {mib_text(r.gpu_memory_mib or r.host_memory_mib)} MiB"
            for r, x, _ in drawn
        ),
        marker=sizes.index(size),
    )


def _bounds(context: Context, percentile: str, metric: str) -> list[Bound]:
    axes: dict[str, Any] = {f"latency_{percentile}_ms": "x", metric: "y"}
    return [
        Bound(axes[name], float(limit), bound_text(name, bound))
        for name, bound in context.bounds.items()
        if name in axes
        for limit in (bound.get("max"), bound.get("min"))
        if limit is not None
    ]


def _line_table(
    lines: list[tuple[str, int, list[SummaryRow]]], percentile: str, metric: str, titles: list[str]
) -> Table:  # fmt: skip
    rows = [
        [
            word(name), figure(str(size)), figure(load_label(r)),
            interval_cell(latency(r, percentile)), interval_cell(value_of(r, metric)),
        ]
        for name, size, group in lines
        for r in group
    ]  # fmt: skip
    return table(["Configuration", "Batch", *titles], rows)


# --------------------------------------------------------------------------------- the comparison


def _label(row: SummaryRow) -> str:
    kind = "c" if row.concurrency is not None else ""
    return f"b{row.batch_size} · {kind}{load_label(row)}"


def latency_by_batch(context: Context) -> Chart | None:
    """Median latency by batch size, a bar a configuration, at the smallest load."""
    valid = [r for r in context.rows if r.valid]
    if not valid:
        return None
    lightest = min(cell(r)[1:] for r in valid)
    rows = [r for r in valid if cell(r)[1:] == lightest]
    load = load_text(rows[0])
    sizes = sorted({r.batch_size for r in rows})
    return _grouped(
        context, "latency-by-batch", f"Latency by batch size, {load}", rows,
        [f"batch {s}" for s in sizes], lambda r: sizes.index(r.batch_size),
        lambda r: r.latency_ms.get("p50"), "p50 latency (ms)", "Batch size", mode="bar",
    )  # fmt: skip


def speedup_chart(context: Context) -> Chart | None:
    """Throughput over the reference's in each cell, with its interval and a line at 1."""
    if context.reference is None:
        return None
    ratios = speedups(context.rows, context.reference)
    rows = [r for r in context.rows if _finite(ratios.get(r.point))]
    if not rows:
        return None
    places, labels = cells(rows), {cell(r): _label(r) for r in rows}
    return _grouped(
        context, "speed-up", f"Speed-up over {context.reference}", rows,
        [labels[c] for c in places], lambda r: places.index(cell(r)),
        lambda r: ratios[r.point], f"Throughput relative to {context.reference}",
        "Batch size (b) and load (c: concurrency)", mode="marks",
        bounds=(Bound("y", 1.0, "no difference"),),
    )  # fmt: skip


def _grouped(
    context: Context, id_: str, title: str, rows: list[SummaryRow], ticks: list[str],
    place: Callable[[SummaryRow], int], value: Callable[[SummaryRow], Interval | None],
    y_title: str, x_title: str, *, mode: Any, bounds: tuple[Bound, ...] = (),
) -> Chart:  # fmt: skip
    """Categories on x, one trace a configuration, side by side within a category."""
    names = [n for n in context.series if any(series_name(r) == n for r in rows)]
    step = 0.8 / max(len(names), 1)
    series = []
    for index, name in enumerate(names):
        offset = (index - (len(names) - 1) / 2) * step
        found = [(r, v) for r in rows if series_name(r) == name and (v := value(r)) is not None]
        drawn = [(r, v) for r, v in found if math.isfinite(v.value)]
        series.append(Series(
            name, context.colors[name],
            tuple(place(r) + offset for r, _ in drawn), tuple(v.value for _, v in drawn), mode,
            y_range=tuple(_limits(v) for _, v in drawn),
            labels=tuple(f"{r.point}: {both_text(v)}" for r, v in drawn), marker=index,
            width=0.9 * step,
        ))  # fmt: skip
    body = [[word(ticks[place(r)]), word(series_name(r)), interval_cell(value(r))] for r in rows]
    values = [v for s in series for v in s.y]
    return Chart(
        id_, title, x_title, y_title, tuple(series),
        table([x_title, "Configuration", y_title], body), ticks=tuple(ticks),
        log_y=mode == "marks" and _wide(values), bounds=bounds, half=True,
    )  # fmt: skip


# ------------------------------------------------------------------------------- one configuration


def performance_charts(context: Context, name: str) -> list[Chart]:
    """ "Online Performance", one chart a batch size: where the time goes, and the throughput."""
    rows = [r for r in context.of(name) if r.valid and _finite(r.latency_mean_ms)]
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


def _performance(context: Context, name: str, size: int, rows: list[SummaryRow]) -> Chart:
    split = any(r.server_us for r in rows)
    x = tuple(float(i) for i in range(len(rows)))
    parts = _parts(rows) if split else [("Client latency", TOTAL_COLOR, [_mean(r) for r in rows])]
    bars = [
        Series(title, color, x, tuple(values), "bar", labels=tuple(
            f"{title}: {significant(v)} ms" for v in values
        ))
        for title, color, values in parts
    ]  # fmt: skip
    intervals = [r.throughput or Interval(0.0) for r in rows]
    line = Series(
        "Throughput", LINE_COLOR, x, tuple(i.value for i in intervals),
        y_range=tuple(_limits(i) for i in intervals),
        labels=tuple(f"{both_text(i)} infer/sec" for i in intervals), right=True,
    )  # fmt: skip
    ticks = tuple(load_label(r) for r in rows)
    load = "Load" if context.open_loop else "Request Concurrency"
    headers = [load, *(f"{t} (ms)" for t, _, _ in parts), "Throughput (infer/sec)"]
    body = [
        [
            figure(tick),
            *(figure(significant(v[i])) for _, _, v in parts),
            interval_cell(intervals[i]),
        ]
        for i, tick in enumerate(ticks)
    ]
    axis = "Load" if context.open_loop else "Concurrent client requests"
    return Chart(
        f"performance-{context.series.index(name)}-{size}",
        f"Online Performance, batch {size}", axis, "Average latency (ms)",
        (*bars, line), table(headers, body), right_title="Throughput (infer/sec)",
        ticks=ticks, stacked=True, half=True,
    )  # fmt: skip


def _mean(row: SummaryRow) -> float:
    return row.latency_mean_ms.value if row.latency_mean_ms is not None else 0.0


def _parts(rows: list[SummaryRow]) -> list[tuple[str, str, list[float]]]:
    parts = [
        (title, color, [r.server_us.get(key, 0.0) / 1e3 for r in rows])
        for key, title, color in STACK
    ]
    return [*parts, ("Client and network", REST_COLOR, [rest_ms(r) or 0.0 for r in rows])]
