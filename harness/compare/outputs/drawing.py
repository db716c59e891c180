"""The comparison's charts as data: forest plot, distributions, blocks, layers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from harness.analysis.point_detail import explain
from harness.analysis.summary import summarize
from harness.compare.layers.matching import Layers
from harness.compare.outputs import words
from harness.compare.result import Comparison, PointResult, Row
from harness.compare.side import Side
from harness.compare.verdicts import Float64
from harness.errors import HarnessError
from harness.measure.quantiles import percentiles
from harness.report.model import blocks as b
from harness.report.model.colours import COLORS, REFERENCE_COLOR
from harness.results.store import read_run
from harness.scenario.wording import signed

BASE, CANDIDATE = COLORS[0], COLORS[1]
TOLERANCE = "#C3C9D1"
VERDICTS = {
    "regression": "#AA0000", "improvement": COLORS[2], "equivalent": BASE,
    "inconclusive": REFERENCE_COLOR,
}  # fmt: skip
BINS = 60
NAME = 24
"""Characters of a layer's name that a chart has room for."""
MOST_LAYERS = 15


def forest(found: Comparison, number: int) -> b.Chart | None:
    """How much worse each metric of each point is, with its interval and the tolerance."""
    rows = [(p.place, r) for p in found.points for r in p.rows]
    rows += [(words.POOLED, r) for r in found.pooled]
    if not rows:
        return None
    tolerance = b.ChartSeries(
        "tolerance", TOLERANCE, (0.0,) * len(rows), tuple(map(float, range(len(rows)))), "marks",
        x_range=tuple((-100 * r.metric.margin, 100 * r.metric.margin) for _, r in rows),
        labels=tuple(f"tolerance ±{100 * r.metric.margin:g} %" for _, r in rows), marker=4,
    )  # fmt: skip
    series = [tolerance, *_by_verdict(rows)]
    table = b.table(("point", "metric", "worse by"), [
        [b.word(p), b.word(r.metric.title), b.Cell(_worse(r), words.interval(r), number=True)]
        for p, r in rows
    ])  # fmt: skip
    return b.Chart(
        f"forest-{number}", "How much worse the candidate is", "worse by, % (left of 0: better)",
        "", tuple(series), table, ticks=tuple(f"{p} {r.metric.title}" for p, r in rows),
        bounds=(b.ReferenceLine("x", 0.0, ""),), zero=False, sideways=True, size="full",
        notes=("The grey bars are the tolerances.",),
    )  # fmt: skip


def _worse(row: Row) -> str:
    return words.percent(row.judged.relative)


def _by_verdict(rows: Sequence[tuple[str, Row]]) -> Iterator[b.ChartSeries]:
    for verdict, color in VERDICTS.items():
        mine = [(n, p, r) for n, (p, r) in enumerate(rows) if str(r.judged.verdict) == verdict]
        if mine:
            yield b.ChartSeries(
                verdict, color, tuple(100 * r.judged.relative for _, _, r in mine),
                tuple(float(n) for n, _, _ in mine), "marks",
                x_range=tuple(_ends(r) for _, _, r in mine),
                labels=tuple(
                    f"{p} {r.metric.title}: {words.change(r)} {words.interval(r)}, {verdict}"
                    for _, p, r in mine
                ),
                marker=list(VERDICTS).index(verdict),
            )  # fmt: skip


def _ends(row: Row) -> tuple[float, float] | None:
    if not row.known:
        return None
    return 100 * float(np.expm1(row.judged.low)), 100 * float(np.expm1(row.judged.high))


# ------------------------------------------------------------------------------ of one point


def of_point(found: Comparison, point: PointResult, anchor: str) -> list[b.Chart]:
    """The latencies of both overlaid, where their samples are there; and both in each block."""
    sides = (found.base, found.candidate)
    latencies = [_latencies(side, point.place) for side in sides]
    charts = []
    if all(x.size for x in latencies):
        charts.append(_distribution(sides, latencies, point, anchor))
    charts += _blocks(sides, point, anchor)
    return charts


def _latencies(side: Side, place: str) -> Float64:
    """Milliseconds of every request of a side in the rounds that count; empty without samples."""
    run = Path(side.where)
    if not (run / "samples").is_dir():
        return np.empty(0)
    try:
        data = read_run(run)
        rows = [r for r in data.measurements if r.point in (place, f"{side.name}/{place}")]
        point = next(iter(summarize(rows)), None)
        rounds = explain(point, run).rounds if point is not None else ()
    except (HarnessError, OSError):
        return np.empty(0)
    counted = {r.round for r in point.measurements} if point is not None else set()
    found = [x.latency_ms for x in rounds if x.latency_ms is not None and x.row.round in counted]
    return np.concatenate(found) if found else np.empty(0)


def _distribution(
    sides: tuple[Side, Side], latencies: Sequence[Float64], point: PointResult, anchor: str
) -> b.Chart:
    both = np.concatenate(latencies)
    low, high = (float(x) for x in np.quantile(both, (0.0, 0.995)))
    edges = np.linspace(low, max(high, low * 1.001), BINS + 1)
    middles = (edges[1:] + edges[:-1]) / 2
    series = []
    for side, color, values, dash in zip(sides, (BASE, CANDIDATE), latencies, (0, 1), strict=True):
        counts, _ = np.histogram(values, edges)
        shares = 100 * counts / len(values)
        series.append(b.trace(side.name, color, [
            (float(x), float(y), f"{side.name}: {y:.1f} % around {x:.3g} ms")
            for x, y in zip(middles, shares, strict=True)
        ], "thin", dash=dash))  # fmt: skip
    quantiles = ("p50", "p90", "p99")
    known = [percentiles(np.round(v * 1e6).astype(np.int64), v < 0) for v in latencies]
    table = b.table(("side", "requests", *(f"{q}, ms" for q in quantiles)), [
        [b.word(side.name), b.figure(str(len(v))), *(b.number_cell(k[q]) for q in quantiles)]
        for side, v, k in zip(sides, latencies, known, strict=True)
    ])  # fmt: skip
    return b.Chart(
        f"latencies-{anchor}", f"Latencies, {point.place}", "ms", "% of requests", tuple(series),
        table, zero=False, notes=("The slowest 0.5 % of the requests are left out.",),
    )  # fmt: skip


def _blocks(sides: tuple[Side, Side], point: PointResult, anchor: str) -> list[b.Chart]:
    """The first metric that both have, block by block."""
    row = next((r for r in point.rows if r.metric.key == "p50"), next(iter(point.rows), None))
    if row is None:
        return []
    key = row.metric.key
    values = [side.points[point.place].values.get(key, {}) for side in sides]
    shared = sorted(set(values[0]) & set(values[1]))
    series = [
        b.trace(side.name, color, [
            (float(place), found[n], f"{side.name}, block {n + 1}: {words.value(found[n])}")
            for place, n in enumerate(shared)
        ], marker=marker)
        for side, color, found, marker in zip(sides, (BASE, CANDIDATE), values, (0, 1), strict=True)
    ]  # fmt: skip
    table = b.table(("block", *(s.name for s in sides)), [
        [b.figure(str(n + 1)), *(b.figure(words.value(v[n])) for v in values)] for n in shared
    ])  # fmt: skip
    return [b.Chart(f"blocks-{anchor}", f"Blocks, {point.place}", "block", row.metric.with_unit,
                    tuple(series), table, ticks=tuple(str(n + 1) for n in shared),
                    zero=False)]  # fmt: skip


# ------------------------------------------------------------------------------------ layers


def layers(found: Layers, number: int) -> b.Chart:
    """What each layer contributes to the difference, the largest first, and what none explains."""
    shown = [*found.changes[:MOST_LAYERS], found.rest]
    series = [
        b.ChartSeries(
            name, color, tuple(c.change_us for c in mine), tuple(float(n) for n in places), "bar",
            x_range=tuple((c.low_us, c.high_us) for c in mine),
            labels=tuple(f"{c.name}: {signed(c.change_us, '.1f')} µs" for c in mine), width=0.62,
        )
        for name, color, named in (
            ("significant", CANDIDATE, True), ("not significant", TOLERANCE, False),
        )
        if (picked := [(n, c) for n, c in enumerate(shown) if c.named is named])
        for places, mine in [([n for n, _ in picked], [c for _, c in picked])]
    ]  # fmt: skip
    return b.Chart(
        f"layers-{number}", "Where the difference comes from", "µs a run, slower is right of 0", "",
        tuple(series), layer_table(found), ticks=tuple(_short(c.name) for c in shown),
        bounds=(b.ReferenceLine("x", 0.0, ""),), zero=False, sideways=True, size="full",
    )  # fmt: skip


def layer_table(found: Layers) -> b.Table:
    """The layers that contribute most, as in every other output."""
    return b.table(words.LAYER_TITLES, [
        [b.figure(text) if 3 <= n <= 6 else b.word(text) for n, text in enumerate(row)]
        for row in words.layer_rows(found)
    ])  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= NAME else f"{name[: NAME // 2]}…{name[-(NAME // 2) + 1 :]}"
