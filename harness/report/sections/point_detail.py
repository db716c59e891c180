"""Each point in detail, for the HTML report: behind a fold, drawn when it is opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from harness.analysis.intervals import Interval
from harness.analysis.metrics import of_round
from harness.analysis.point_detail import Explanation, RoundDetail, explain
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import QUANTILES
from harness.report.charts.lines import LOG_FROM
from harness.report.model.blocks import (
    Bound,
    Cell,
    Chart,
    Series,
    Table,
    figure,
    interval_cell,
    table,
    word,
)
from harness.report.model.context import COLORS, Context
from harness.report.model.labels import flag_text, place_text
from harness.report.model.numbers import (
    BEYOND_TIMEOUT,
    NOT_AVAILABLE,
    PERCENTILE_NAMES,
    significant,
)
from harness.report.sections.evidence import ceiling_share
from harness.report.sections.points import status_cell
from harness.report.sections.servers import composing_of, metrics_of
from harness.scenario.metrics import METRICS
from harness.triton.counters.statistics import PHASES

INK = "#1D2733"


@dataclass(frozen=True, slots=True)
class Explained:
    """One point's fold."""

    id: str
    title: str
    status: Cell
    charts: tuple[Chart, ...]
    figures: Table
    flags: Table | None
    notes: tuple[str, ...]


def explained_points(context: Context) -> tuple[Explained, ...]:
    """A fold for every point that was measured, in the order of the scenario."""
    rows = [row for row in (*context.rows, *context.searched) if row.rounds]
    return tuple(_fold(i, row, context) for i, row in enumerate(rows))


def _fold(index: int, row: SummaryRow, context: Context) -> Explained:
    found = explain(row, context.data.path)
    charts = [_timeline(f"explain-{index}-time", found), _distribution(f"explain-{index}", found)]
    files = ", ".join(r.row.samples for r in found.rounds if r.row.samples)
    return Explained(
        f"explain-{index}", f"{context.name(row)}, {place_text(row)}", status_cell(row),
        tuple(c for c in charts if c is not None), _figures(found), _flags(found),
        (f"Raw samples: {files}.",) if files else (),
    )  # fmt: skip


def _name(found: RoundDetail) -> str:
    return f"round {found.row.round + 1}"


def _color(found: RoundDetail) -> str:
    return COLORS[found.row.round % len(COLORS)]


def _wide(values: list[float]) -> bool:
    return bool(values) and min(values) > 0 and max(values) / min(values) >= LOG_FROM


def _timeline(id_: str, found: Explanation) -> Chart | None:
    """Median latency of each stretch of time, a line a round, with the window's ends."""
    series, values, ends = [], [], []
    for r in found.rounds:
        if r.timeline is None:
            continue
        known = np.isfinite(r.timeline.p50_ms)
        x, y = r.timeline.seconds[known], r.timeline.p50_ms[known]
        worst = r.timeline.worst_ms[known]
        labels = tuple(
            f"{_name(r)}, {a:.3g} s: median {m:.4g} ms, slowest {w:.4g} ms"
            for a, m, w in zip(x, y, worst, strict=True)
        )
        series.append(Series(_name(r), _color(r), (*x.tolist(),), (*y.tolist(),), "thin",
                             labels=labels))  # fmt: skip
        values += y.tolist()
        ends.append(r.timeline.window_s)
    if not values:
        return None
    kind = "response" if found.open_loop else "latency"
    bounds = (Bound("x", 0.0, "window begins"), Bound("x", min(ends), "ends"))
    return Chart(
        id_, "Latency over time", "Seconds from the begin of the window", f"Median {kind} (ms)",
        tuple(series), _windows(found), log_y=_wide(values), bounds=bounds,
        notes=("Before the window lies the warm-up. MSER-5 says where it would have cut instead.",),
    )  # fmt: skip


def _windows(found: Explanation) -> Table:
    headers = ["Round", "Warm-up requests", "Window (s)", "MSER-5 cut (s)", "Shift between halves"]
    body = []
    for r in found.rounds:
        shift = r.steady.shift if r.steady is not None else None
        body.append([
            word(str(r.row.round + 1)), figure(f"{r.row.warmup_requests:,}"),
            figure(significant((r.row.window_end_ns - r.row.window_begin_ns) / 1e9)),
            figure(NOT_AVAILABLE if r.cut_s is None else significant(r.cut_s)),
            figure(NOT_AVAILABLE if shift is None else f"{100 * shift:+.2g}%"),
        ])  # fmt: skip
    return table(headers, body)


def _distribution(id_: str, found: Explanation) -> Chart | None:
    """Empirical distribution of each round, with percentiles' intervals within and over rounds."""
    series, values = [], []
    for r in found.rounds:
        x, share = r.share_below()
        if x.size:
            labels = tuple(
                f"{_name(r)}: {100 * s:.4g}% within {v:.4g} ms"
                for v, s in zip(x.tolist(), share.tolist(), strict=True)
            )
            series.append(Series(_name(r), _color(r), (*x.tolist(),), (*(100 * share).tolist(),),
                                 "thin", labels=labels))  # fmt: skip
            series.append(_within(r))
            values += x.tolist()
    if not values:
        return None
    return Chart(
        f"{id_}-ecdf", "Distribution", "Latency (ms)", "Requests within it (%)",
        (*series, _over(found)), _percentiles(found), log_x=_wide(values),
        notes=(
            "Bars are 95% intervals: coloured ones within a round (order statistics, which hold "
            "for independent requests only), black ones over the rounds.",
        ),
    )  # fmt: skip


def _within(found: RoundDetail) -> Series:
    known = [(p, v) for p, v in found.row.latency_ms.items() if v is not None and np.isfinite(v)]
    limits = [found.row.latency_order_ms.get(p) for p, _ in known]
    return Series(
        _name(found), _color(found), tuple(v for _, v in known),
        tuple(100 * float(QUANTILES[p]) for p, _ in known), "marks",
        x_range=tuple(pair if pair and np.isfinite(pair[1]) else None for pair in limits),
        labels=tuple(f"{_name(found)}, {PERCENTILE_NAMES[p]}: {v:.4g} ms" for p, v in known),
    )  # fmt: skip


def _over(found: Explanation) -> Series:
    found_over = found.summary.latency_ms.items()
    known = [(p, i) for p, i in found_over if i is not None and np.isfinite(i.value)]
    return Series(
        "over rounds", INK, tuple(i.value for _, i in known),
        tuple(100 * float(QUANTILES[p]) for p, _ in known), "marks",
        x_range=tuple(
            (i.low, i.high) if i.low is not None and i.high is not None else None for _, i in known
        ),
        labels=tuple(f"over rounds, {PERCENTILE_NAMES[p]}: {i.value:.4g} ms" for p, i in known),
        marker=1,
    )  # fmt: skip


def _percentiles(found: Explanation) -> Table:
    headers = ["Percentile", "Over rounds (ms)", *(_name(r).capitalize() for r in found.rounds)]
    body = []
    for p, name in PERCENTILE_NAMES.items():
        cells = [_order_cell(r, p) for r in found.rounds]
        body.append([word(name), interval_cell(found.summary.latency_ms.get(p)), *cells])
    return table(headers, body)


def _order_cell(found: RoundDetail, percentile: str) -> Cell:
    limits = found.row.latency_order_ms.get(percentile)
    text = f"{significant(limits[0])}–{significant(limits[1])}" if limits else ""
    value = ms(found.row.latency_ms.get(percentile))
    return Cell(value, text, tone="muted" if value == NOT_AVAILABLE else "", number=True)


def _figures(found: Explanation) -> Table:
    headers = ["", "Over rounds", *(_name(r).capitalize() for r in found.rounds)]
    body = [
        [word(name), interval_cell(interval), *(figure(ms(v)) for v in values)]
        for name, interval, values in measured(found)
    ]
    body += [
        [word(name), word(""), *(figure(ms(v)) for v in values)]
        for name, values in conditions(found)
        if any(v is not None for v in values)
    ]
    return table(headers, body)


def _flags(found: Explanation) -> Table | None:
    body = [
        [
            word(flag.replace("_", " ")), word(flag_text(flag)),
            word(", ".join(map(str, rounds)) or "—"), word(text or "—"),
        ]
        for flag in found.summary.flags
        for rounds, text in seen(found, flag) or [([], "")]
    ]  # fmt: skip
    return table(["Flag", "What it means", "Round", "What was seen"], body) if body else None


def ms(value: float | None) -> str:
    """A figure of one round: `4.05`, `n/a`, `> timeout`."""
    if value is None:
        return NOT_AVAILABLE
    if isinstance(value, int):
        return f"{value:,}"
    return BEYOND_TIMEOUT if math.isinf(value) else significant(value)


def measured(found: Explanation) -> Iterator[tuple[str, Interval | None, list[float | None]]]:
    """Figures with an interval: name, value over the rounds, value of each round."""
    for metric in sorted(METRICS.values(), key=lambda m: m.gpu and not m.objective):
        values = [of_round(r.row, metric.name) for r in found.rounds]
        there = any(v is not None for v in values) or not (metric.gpu or metric.optional)
        if metric.over_rounds == "interval" and there:
            title = metric.explained
            if found.open_loop:
                title = title.replace("latency", "response")
            yield title, found.summary.value(metric.name), values


def conditions(found: Explanation) -> Iterator[tuple[str, list[float | None]]]:
    """Figures that have no interval."""

    def of(get: Callable[[RoundDetail], float | None]) -> list[float | None]:
        return [get(r) for r in found.rounds]

    def server(part: str) -> list[float | None]:
        times = [r.row.server_us.get(part) for r in found.rounds]
        return [None if t is None else t / 1e3 for t in times]

    yield "slip p50, ms", of(lambda r: r.slip.p50_ms if r.slip else None)
    yield "slip p99, ms", of(lambda r: r.slip.p99_ms if r.slip else None)
    yield "service p50, ms", of(lambda r: r.slip.service_p50_ms if r.slip else None)
    yield "service p99, ms", of(lambda r: r.slip.service_p99_ms if r.slip else None)
    for part in PHASES:
        yield f"server {part.replace('_', ' ')}, ms", server(part)
    yield from _composing(found)
    yield from _by_metrics(found)
    yield "requests", of(lambda r: r.row.requests)
    yield "failed", of(lambda r: r.row.errors or None)
    yield "warm-up requests", of(lambda r: r.row.warmup_requests)
    yield "window, s", of(lambda r: (r.row.window_end_ns - r.row.window_begin_ns) / 1e9)
    yield from _plain(found, gpu=False)
    yield "CPU, %", of(lambda r: r.row.cpu_percent)
    yield "client CPU, %", of(lambda r: r.row.client_cpu_percent)
    yield "generator's ceiling, requests/s", of(lambda r: r.row.details.get("ceiling"))
    yield "share of its ceiling, %", of(lambda r: ceiling_share(r.row))
    yield from _plain(found, gpu=True)
    yield "GPU clock, lowest, MHz", of(lambda r: _end(r.row.gpu_sm_clock_mhz, 0))
    yield "GPU clock, highest, MHz", of(lambda r: _end(r.row.gpu_sm_clock_mhz, 1))
    yield "GPU temperature, highest, °C", of(lambda r: _end(r.row.gpu_temperature_c, 1))


def _plain(found: Explanation, *, gpu: bool) -> Iterator[tuple[str, list[float | None]]]:
    """The table's metrics without an interval; errors stand with the requests."""
    for metric in METRICS.values():
        if metric.over_rounds in ("largest", "mean") and metric.gpu == gpu:
            yield metric.explained, [of_round(r.row, metric.name) for r in found.rounds]


def _end(spread: tuple[float, float] | None, index: int) -> float | None:
    return None if spread is None else spread[index]


def _composing(found: Explanation) -> Iterator[tuple[str, list[float | None]]]:
    rounds = [composing_of(r.row) for r in found.rounds]
    keys = ((name, part) for r in rounds for name, times in r.items() for part in times)
    for name, part in dict.fromkeys(keys):
        values = [r.get(name, {}).get(part) for r in rounds]
        yield f"{name} {part.replace('_', ' ')}, ms", values


def _by_metrics(found: Explanation) -> Iterator[tuple[str, list[float | None]]]:
    rounds = [metrics_of(r.row) for r in found.rounds]
    for title in dict.fromkeys(title for r in rounds for title in r):
        yield f"/metrics: {title}", [r.get(title) for r in rounds]


def seen(found: Explanation, flag: str) -> list[tuple[list[int], str]]:
    """(rounds from 1, what was seen) of a flag; rounds that saw the same stand together."""
    said: dict[str, list[int]] = {}
    for r in found.rounds:
        if flag in r.row.flags:
            text = str((r.row.details.get("findings") or {}).get(flag, ""))
            said.setdefault(text, []).append(r.row.round + 1)
    return [(rounds, text) for text, rounds in said.items()]
