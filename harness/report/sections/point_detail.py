"""Each point in detail, for the HTML report: behind a fold, drawn when it is opened."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from harness.analysis.intervals import Interval
from harness.analysis.metrics import of_rounds
from harness.analysis.point_detail import Explanation, RoundDetail, explain
from harness.analysis.summary import SummaryRow
from harness.gap.bound import bound_of
from harness.measure.quantiles import QUANTILES
from harness.measure.validity import causes, short
from harness.report.charts.lines import limits, wide
from harness.report.model import blocks, labels, numbers
from harness.report.model.context import COLORS, Context
from harness.report.model.section import Charts, Part, Section, TableBlock, Text, titled
from harness.report.sections import method, points, servers
from harness.results.details import PHASES
from harness.results.grouping import grouped
from harness.scenario.metrics import METRICS, PERCENTILE_NAMES, latency_name
from harness.scenario.wording import signed

INK = "#1D2733"
HOW = "Everything about one point, behind its name; in the terminal: harness explain RUN_DIR POINT."


def section(context: Context) -> Section | None:
    """A fold for every point that was measured, in the order of the table of points."""
    rows = points.detailed(context)
    if not rows:
        return None
    parts = tuple(_fold(f"explain-{i}", row, context) for i, row in enumerate(rows))
    every = sum(bool(row.rounds) for row in (*context.rows, *context.searched))
    less = f" Here are the best {len(rows)} of {every:,}; it has the others." * (len(rows) < every)
    return Section("explained", "Each point in detail", (Text(HOW + less),), parts,
                   screen_only=True)  # fmt: skip


def _fold(id_: str, row: SummaryRow, context: Context) -> Part:
    found = explain(row, context.data.path)
    charts = (_timeline(f"{id_}-time", found), _distribution(f"{id_}-ecdf", found))
    bound = bound_of(row)
    files = ", ".join(r.row.samples for r in found.rounds if r.row.samples)
    lost = ", ".join(r.row.samples for r in found.rounds if r.row.samples and r.timeline is None)
    title = f"{context.name(row)}, {labels.place_text(row)}: {points.status_cell(row).text}"
    back = "" if row.searched else f"row:{row.point}"
    return Part(row.point, title, (
        Charts(tuple(c for c in charts if c is not None)),
        *([Text(bound.words, "prose")] if bound is not None else []),
        TableBlock(_figures(found), style="small"),
        *titled(("What was flagged", _flags(found)), style="text"),
        *([Text(f"Raw samples: {files}.", "note")] if files else []),
        *([Text(f"Missing or damaged: {lost}.", "note")] if lost else []),
    ), folded=True, back=back)  # fmt: skip


def round_name(found: RoundDetail) -> str:
    """`round 2`, and whether it was disturbed and so may not count."""
    disturbed = " (disturbed)" if causes(found.row.flags) else ""
    return f"round {found.row.round + 1}{disturbed}"


def _color(found: RoundDetail) -> str:
    return COLORS[found.row.round % len(COLORS)]


def _timeline(id_: str, found: Explanation) -> blocks.Chart | None:
    """Median latency of each stretch of time, a line a round, with the window's ends."""
    series, values, ends = [], [], []
    for r in found.rounds:
        if r.timeline is None:
            continue
        known = np.isfinite(r.timeline.p50_ms)
        x, y, worst = (
            found[known].tolist()
            for found in (r.timeline.seconds, r.timeline.p50_ms, r.timeline.worst_ms)
        )
        points = (
            (a, m, f"{round_name(r)}, {a:.3g} s: median {m:.4g} ms, slowest {w:.4g} ms")
            for a, m, w in zip(x, y, worst, strict=True)
        )
        series.append(blocks.trace(round_name(r), _color(r), points, "thin", dash=r.row.round))
        values += y
        ends.append(r.timeline.window_s)
    if not values:
        return None
    kind = "response" if found.open_loop else "latency"
    bounds = (
        blocks.ReferenceLine("x", 0.0, "window begins"),
        blocks.ReferenceLine("x", min(ends), "ends"),
    )
    return blocks.Chart(
        id_, "Latency over time", "Seconds from the begin of the window", f"Median {kind} (ms)",
        tuple(series), _windows(found), log_y=wide(values), bounds=bounds,
        notes=("Before the window lies the warm-up. MSER-5 says where it would have cut instead.",),
    )  # fmt: skip


def _windows(found: Explanation) -> blocks.Table:
    return blocks.listing(found.rounds, {
        "Round": lambda r: blocks.word(str(r.row.round + 1)),
        "Warm-up requests": lambda r: blocks.figure(f"{r.row.warmup_requests:,}"),
        "Window (s)": lambda r: blocks.number_cell(_window_s(r)),
        "MSER-5 cut (s)": lambda r: blocks.number_cell(r.cut_s),
        "Shift between halves": _shift,
    })  # fmt: skip


def _window_s(found: RoundDetail) -> float:
    return (found.row.window_end_ns - found.row.window_begin_ns) / 1e9


def _shift(found: RoundDetail) -> blocks.Cell:
    shift = found.steady.shift if found.steady is not None else None
    return blocks.figure(
        numbers.NOT_AVAILABLE if shift is None else f"{signed(100 * shift, '.2g')}%"
    )


def _distribution(id_: str, found: Explanation) -> blocks.Chart | None:
    """Empirical distribution of each round, with percentiles' intervals within and over rounds."""
    series, values = [], []
    for r in found.rounds:
        x, share = r.share_below()
        if x.size:
            points = (
                (v, 100 * s, f"{round_name(r)}: {100 * s:.4g}% within {v:.4g} ms")
                for v, s in zip(x.tolist(), share.tolist(), strict=True)
            )
            series += [blocks.trace(round_name(r), _color(r), points, "thin",
                                    dash=r.row.round), _within(r)]  # fmt: skip
            values += x.tolist()
    if not values:
        return None
    return blocks.Chart(
        id_, "Distribution", "Latency (ms)", "Requests within it (%)",
        (*series, _over(found)), _percentiles(found), log_x=wide(values),
        notes=(
            "Bars are 95% intervals: coloured ones within a round (order statistics, which hold "
            "for independent requests only), black ones over the rounds.",
        ),
    )  # fmt: skip


def _within(found: RoundDetail) -> blocks.ChartSeries:
    known = {p: v for p, v in found.row.latency_ms.items() if v is not None and math.isfinite(v)}
    order = [found.row.latency_order_ms.get(p) for p in known]
    ranges = tuple(pair if pair and math.isfinite(pair[1]) else None for pair in order)
    return _marks(round_name(found), _color(found), known, ranges)


def _over(found: Explanation) -> blocks.ChartSeries:
    over = {p: found.summary.value(latency_name(p)) for p in PERCENTILE_NAMES}
    known = {p: i for p, i in over.items() if i is not None and math.isfinite(i.value)}
    values = {p: i.value for p, i in known.items()}
    return _marks("over rounds", INK, values, tuple(map(limits, known.values())), marker=1)


def _marks(
    name: str, color: str, values: Mapping[str, float],
    ranges: tuple[tuple[float, float] | None, ...], marker: int = 0,
) -> blocks.ChartSeries:  # fmt: skip
    """Percentiles where they cross the distribution, each with its interval."""
    return blocks.ChartSeries(
        name, color, tuple(values.values()), tuple(100 * float(QUANTILES[p]) for p in values),
        "marks", x_range=ranges, marker=marker,
        labels=tuple(f"{name}, {blocks.percentile_name(p)}: {v:.4g} ms" for p, v in values.items()),
    )  # fmt: skip


def _percentiles(found: Explanation) -> blocks.Table:
    headers = [
        "Percentile",
        "Over rounds (ms)",
        *(round_name(r).capitalize() for r in found.rounds),
    ]
    body = [
        [
            blocks.word(name), blocks.interval_cell(found.summary.value(latency_name(p))),
            *(_order_cell(r, p) for r in found.rounds),
        ]
        for p, name in numbers.PERCENTILE_NAMES.items()
    ]  # fmt: skip
    return blocks.table(headers, body)


def _order_cell(found: RoundDetail, percentile: str) -> blocks.Cell:
    limits = found.row.latency_order_ms.get(percentile)
    text = f"{numbers.significant(limits[0])}–{numbers.significant(limits[1])}" if limits else ""
    value = ms(found.row.latency_ms.get(percentile))
    return blocks.Cell(
        value, text, tone="muted" if value == numbers.NOT_AVAILABLE else "", number=True
    )


def _figures(found: Explanation) -> blocks.Table:
    headers = ["", "Over rounds", *(round_name(r).capitalize() for r in found.rounds)]
    body = [
        [blocks.word(name), blocks.interval_cell(interval), *(blocks.figure(ms(v)) for v in values)]
        for name, interval, values in measured(found)
    ]
    body += [
        [blocks.word(name), blocks.word(""), *(blocks.figure(ms(v)) for v in values)]
        for name, values in conditions(found)
    ]
    return blocks.table(headers, body)


def _flags(found: Explanation) -> blocks.Table:
    lines = [
        (flag, rounds, text)
        for flag in found.summary.every_flag
        for rounds, text in seen(found, flag) or [([], "")]
    ]
    return blocks.listing(lines, {
        "Flag": lambda x: blocks.word(short(x[0]), note=x[0]),
        "What it means": lambda x: blocks.word(labels.flag_text(x[0])),
        "Round": lambda x: blocks.word(", ".join(map(str, x[1])) or "—"),
        "What was seen": lambda x: blocks.word(x[2] or "—"),
    })  # fmt: skip


def ms(value: float | None) -> str:
    """A figure of one round: `4.05`, `n/a`, `> timeout`."""
    if value is None:
        return numbers.NOT_AVAILABLE
    if isinstance(value, int):
        return f"{value:,}"
    return numbers.BEYOND_TIMEOUT if math.isinf(value) else numbers.significant(value)


def measured(found: Explanation) -> Iterator[tuple[str, Interval | None, list[float | None]]]:
    """Figures with an interval: name, value over the rounds, value of each round."""
    for metric in sorted(METRICS.values(), key=lambda m: m.gpu and not m.objective):
        values = of_rounds([r.row for r in found.rounds], metric.name)
        there = any(v is not None for v in values) or not (metric.gpu or metric.optional)
        if metric.over_rounds == "interval" and there:
            title = metric.explained
            if found.open_loop:
                title = title.replace("latency", "response")
            yield title, found.summary.value(metric.name), values


def conditions(found: Explanation) -> Iterator[tuple[str, list[float | None]]]:
    """Figures that have no interval and that some round has: name, value of each round."""
    of_rounds = [_of_server(r) for r in found.rounds]
    titles = dict.fromkeys(title for values in of_rounds for title in values)
    of_server = [(t, [values.get(t) for values in of_rounds]) for t in titles]
    before, after = (
        [(name, [get(r) for r in found.rounds]) for name, get in figures.items()]
        for figures in (SENDING, CONDITIONS)
    )
    for name, values in [*before, *of_server, *after]:
        if any(v is not None for v in values):
            yield name, values


Figures = Mapping[str, Callable[[RoundDetail], float | None]]


def _plain(*, gpu: bool) -> Figures:
    """The table's metrics without an interval; errors stand with the requests."""

    def of(name: str) -> Callable[[RoundDetail], float | None]:
        return lambda r: of_rounds([r.row], name)[0]

    return {
        m.explained: of(m.name)
        for m in METRICS.values()
        if m.over_rounds in ("largest", "mean") and m.gpu == gpu
    }


SENDING: Figures = {
    "slip p50, ms": lambda r: r.slip.p50_ms if r.slip else None,
    "slip p99, ms": lambda r: r.slip.p99_ms if r.slip else None,
    "service p50, ms": lambda r: r.slip.service_p50_ms if r.slip else None,
    "service p99, ms": lambda r: r.slip.service_p99_ms if r.slip else None,
}
"""Of an open loop: how late requests were sent, and how long they took from then on."""
CONDITIONS: Figures = {
    "requests": lambda r: r.row.requests,
    "failed": lambda r: r.row.errors or None,
    "warm-up requests": lambda r: r.row.warmup_requests,
    "window, s": _window_s,
    **_plain(gpu=False),
    "CPU, %": lambda r: r.row.cpu_percent,
    "client CPU, %": lambda r: r.row.client_cpu_percent,
    "client processes": lambda r: r.row.details.get("client_processes"),
    "generator's ceiling, requests/s": lambda r: r.row.details.get("ceiling"),
    "share of its ceiling, %": lambda r: method.ceiling_share(r.row),
    **_plain(gpu=True),
    "GPU clock, lowest, MHz": lambda r: (r.row.gpu_sm_clock_mhz or (None, None))[0],
    "GPU clock, highest, MHz": lambda r: (r.row.gpu_sm_clock_mhz or (None, None))[1],
    "GPU temperature, highest, °C": lambda r: (r.row.gpu_temperature_c or (None, None))[1],
}


def _of_server(found: RoundDetail) -> dict[str, float]:
    """What the server says of a round: its phases, its composing models, /metrics."""
    row = found.row
    phases = {p: t / 1e3 for p in PHASES if (t := row.server_us.get(p)) is not None}
    return {
        **{
            f"{name} {part.replace('_', ' ')}, ms": value
            for name, times in [("server", phases), *servers.composing_of(row).items()]
            for part, value in times.items()
        },
        **{f"/metrics: {title}": value for title, value in servers.metrics_of(row).items()},
    }


def seen(found: Explanation, flag: str) -> list[tuple[list[int], str]]:
    """(rounds from 1, what was seen) of a flag; rounds that saw the same stand together."""
    if flag == "few_tail_episodes" and found.few_episodes:
        return [([], found.few_episodes)]
    flagged = (r.row for r in found.rounds if flag in r.row.flags)
    said = grouped(flagged, lambda row: str((row.details.get("findings") or {}).get(flag, "")))
    return [([row.round + 1 for row in rows], text) for text, rows in said.items()]
