"""Legends: what each colour and marker of a chart stands for, as entries with a small SVG key.

Both formats set them as text under the chart, so that they never cover the plot or squeeze it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

from markupsafe import Markup

from harness.report.charts.geometry import HATCHES, MUTED
from harness.report.model.blocks import Chart, ChartSeries
from harness.results.grouping import firsts

DASHES = ("", "5 2.5", "1.5 2", "5 2 1.5 2", "8 2.5", "8 2.5 1.5 2.5")
"""By marker, as the charts' dashes."""
_MIDDLE, _HEIGHT, _SIZE = 13.0, 12.0, 4.2
_CORNERS = {2: 4, 3: 3, 6: 6, 7: 5}
"""Marker → corners of a regular polygon."""
_PLUS = ((-1, -3), (1, -3), (1, -1), (3, -1), (3, 1), (1, 1), (1, 3), (-1, 3), (-1, 1), (-3, 1),
         (-3, -1), (-1, -1))  # fmt: skip


@dataclass(frozen=True, slots=True)
class LegendEntry:
    """One line of a legend."""

    name: str
    key: Markup
    """An `<svg>` element."""
    series: str = ""
    """The trace's name as Plotly knows it; empty for an entry that says what a marker means."""


def entries(chart: Chart) -> list[LegendEntry]:
    """One entry a name, in the order of the traces, then what the markers stand for.

    Where there is one name alone, the text around the chart says it.
    """
    found = [
        LegendEntry(s.name, _key(s, bool(chart.markers)), escape(s.name))
        for s in firsts(chart.series, lambda series: series.name)
    ]
    if len(found) == 1:
        found = []
    markers = [ChartSeries(name, MUTED, (), (), marker=i) for i, name in enumerate(chart.markers)]
    return [*found, *(LegendEntry(m.name, _key(m, False)) for m in markers)]


def _key(series: ChartSeries, colour_only: bool) -> Markup:
    """A square for bars, else a line with its dash and marker, or in its colour alone."""
    if series.mode == "bar":
        drawn = f'<rect x="6" y="0" width="14" height="12" fill="{series.color}"/>'
        drawn += _hatch(HATCHES[series.hatch % len(HATCHES)])
    elif colour_only or series.mode == "thin":
        drawn = _line(series.color, DASHES[(series.dash or 0) % len(DASHES)])
    else:
        line = _line(series.color, DASHES[series.dashed % len(DASHES)])
        drawn = (line if series.mode == "line" else "") + _symbol(series.marker % 8, series.color)
    return Markup(
        f'<svg class="key" width="26" height="12" viewBox="0 0 26 12" aria-hidden="true">{drawn}'
        "</svg>"
    )


def _line(color: str, dash: str) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M1 6H25" stroke="{color}" stroke-width="2" fill="none"{dashed}/>'


def _hatch(pattern: str) -> str:
    """The lines of a bar's pattern over a square."""
    strokes = {
        "/": "M6 12L18 0M10 12L20 2M6 6L12 0",
        "\\": "M8 0L20 12M6 2L16 12M14 0L20 6",
        "-": "M6 3H20M6 9H20",
        "|": "M10 0V12M16 0V12",
        ".": "M9 4h2M15 4h2M9 9h2M15 9h2",
    }
    strokes |= {"x": strokes["/"] + strokes["\\"], "+": strokes["-"] + strokes["|"]}
    if pattern not in strokes:
        return ""
    return f'<path d="{strokes[pattern]}" stroke="#FFFFFF" stroke-opacity="0.7" fill="none"/>'


def _symbol(marker: int, color: str) -> str:
    x, y = _MIDDLE, _HEIGHT / 2
    paint = f'fill="{color}" stroke="#FFFFFF" stroke-width="0.8"'
    if marker == 0:
        return f'<circle cx="{x:g}" cy="{y:g}" r="{_SIZE}" {paint}/>'
    if marker == 1:
        return f'<rect x="{x - 3.8:g}" y="{y - 3.8:g}" width="7.6" height="7.6" {paint}/>'
    points = " ".join(f"{x + dx:.2f},{y + dy:.2f}" for dx, dy in _outline(marker))
    return f'<polygon points="{points}" {paint}/>'


def _outline(marker: int) -> list[tuple[float, float]]:
    """Corners around the middle: diamond, triangle, plus, star, hexagon, pentagon."""
    if marker == 4:
        return [(1.5 * a, 1.5 * b) for a, b in _PLUS]
    if marker == 5:
        return [_corner(i, 10, _SIZE if i % 2 == 0 else 0.45 * _SIZE) for i in range(10)]
    count = _CORNERS[marker]
    return [_corner(i, count, 1.1 * _SIZE) for i in range(count)]


def _corner(index: int, count: int, radius: float) -> tuple[float, float]:
    angle = 2 * math.pi * index / count
    return radius * math.sin(angle), -radius * math.cos(angle)
