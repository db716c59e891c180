"""Charts for HTML: chart data → what Plotly.newPlot takes.

Names come from scenarios, and Plotly reads a little HTML in texts, so every text is escaped.
"""

from __future__ import annotations

import math
from html import escape
from typing import Any, Literal

from harness.report.charts.geometry import BANDS, extent, near_right, wide_bands
from harness.report.model.blocks import Band, Chart, ChartSeries, ReferenceLine

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
INK, GRID, MUTED = "#1D2733", "#E7EAEE", "#5C6470"
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_STEPS = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5)]
LOG_TICKS = {"tickmode": "array", "tickvals": _STEPS, "ticktext": [f"{v:,g}" for v in _STEPS]}
HEIGHTS = {"half": 340, "third": 270, "full": 380}
DIGITS = 6
"""Significant digits of the values: more than a plot can show, and less to send."""
CONFIG = {
    "displaylogo": False, "displayModeBar": "hover", "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
}  # fmt: skip


def figure(chart: Chart) -> dict[str, Any]:
    """`{data, layout, config}` of a chart, all plain JSON."""
    data = [_trace(s) for s in chart.series]
    return {"data": _rounded(data), "layout": _layout(chart), "config": CONFIG}


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _trace(series: ChartSeries) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "name": escape(series.name),
        "x": list(series.x),
        "y": list(series.y),
        "hovertext": [escape(label) for label in series.labels],
        "hoverinfo": "text",
        "hoverlabel": {"namelength": -1},
    }
    for axis, values, ranges in (
        ("error_x", series.x, series.x_range),
        ("error_y", series.y, series.y_range),
    ):
        if any(ranges):
            trace[axis] = _error(values, ranges, series.color)
    if series.mode == "bar":
        return trace | {"type": "bar", "width": series.width, "marker": {"color": series.color}}
    return trace | _scatter(series)


def _scatter(series: ChartSeries) -> dict[str, Any]:
    if series.mode == "thin":
        return {"type": "scatter", "mode": "lines", "line": {"color": series.color, "width": 1.5}}
    solid = series.marker % len(DASHES)
    return {
        "type": "scatter",
        "mode": "lines+markers" if series.mode == "line" else "markers",
        "line": {"color": series.color, "width": 2, "dash": DASHES[solid]},
        "marker": {
            "color": series.color, "size": 8, "symbol": SYMBOLS[series.marker % len(SYMBOLS)],
            "line": {"color": "#FFFFFF", "width": 1},
        },
        "cliponaxis": False,
        **({"yaxis": "y2"} if series.right else {}),
    }  # fmt: skip


def _error(
    values: tuple[float, ...], ranges: tuple[tuple[float, float] | None, ...], color: str
) -> dict[str, Any]:
    pairs = list(zip(values, ranges, strict=True))
    return {
        "type": "data", "symmetric": False, "thickness": 1.2, "width": 3, "color": color,
        "array": [r[1] - v if r else 0 for v, r in pairs],
        "arrayminus": [v - r[0] if r else 0 for v, r in pairs],
    }  # fmt: skip


def _layout(chart: Chart) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "font": {"family": FONT, "size": 12, "color": INK},
        "paper_bgcolor": "#FFFFFF", "plot_bgcolor": "#FFFFFF",
        "margin": {
            "l": 58, "r": 58 if chart.right_title else 16, "t": 24 if chart.bands else 14, "b": 48,
        },
        "height": HEIGHTS[chart.size],
        "showlegend": False,  # the page has its own, see legend.py
        "hovermode": "closest",
        "barmode": "stack" if chart.stacked else "overlay",
        "xaxis": _x_axis(chart) | _range(chart, "x"),
        "yaxis": _axis(chart.y_title, chart.log_y),
        "shapes": [
            *(_band(b, i) for i, b in enumerate(chart.bands)), *(_shape(b) for b in chart.bounds),
        ],
        "annotations": [
            *(_band_label(b) for b in wide_bands(chart)),
            *(_annotation(b, chart) for b in chart.bounds),
        ],
    }  # fmt: skip
    layout["yaxis"]["automargin"] = True
    if not chart.log_y and chart.zero:
        layout["yaxis"]["rangemode"] = "tozero"
    layout["yaxis"] |= _range(chart, "y")
    if chart.right_title:
        layout["yaxis2"] = _axis(chart.right_title, False) | {
            "overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False,
            "tickmode": "auto",
        }  # fmt: skip
        if (found := extent(chart, "y", right=True)) is not None:
            layout["yaxis2"]["range"] = list(found)
    return layout


def _axis(title: str, log: bool) -> dict[str, Any]:
    return {
        "title": {"text": escape(title), "standoff": 8, "font": {"size": 12, "color": MUTED}},
        "type": "log" if log else "linear", **(LOG_TICKS if log else {}),
        "gridcolor": GRID, "zerolinecolor": GRID,
        "linecolor": "#B8C0CA", "ticks": "outside", "tickcolor": "#B8C0CA",
    }  # fmt: skip


def _x_axis(chart: Chart) -> dict[str, Any]:
    axis = _axis(chart.x_title, chart.log_x)
    if not chart.ticks:
        return axis if chart.log_x or not chart.zero else axis | {"rangemode": "tozero"}
    count = len(chart.ticks)
    return axis | {
        "tickmode": "array", "tickvals": list(range(count)),
        "ticktext": [escape(t) for t in chart.ticks], "range": [-0.6, count - 0.4],
        "showgrid": False, "zeroline": False,
    }  # fmt: skip


def _shape(bound: ReferenceLine) -> dict[str, Any]:
    across = "y" if bound.axis == "x" else "x"
    line = {"color": MUTED, "width": 1.4, "dash": "dash"}
    return {
        "type": "line", "line": line, f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1,
        f"{bound.axis}0": bound.value, f"{bound.axis}1": bound.value,
    }  # fmt: skip


def _band(band: Band, index: int) -> dict[str, Any]:
    return {
        "type": "rect", "layer": "below", "yref": "paper", "y0": 0, "y1": 1, "x0": band.begin,
        "x1": band.end, "line": {"width": 0}, "fillcolor": BANDS[index % len(BANDS)],
    }  # fmt: skip


def _band_label(band: Band) -> dict[str, Any]:
    return {
        "text": escape(band.label), "x": (band.begin + band.end) / 2, "yref": "paper", "y": 1,
        "yanchor": "bottom", "showarrow": False, "font": {"size": 10, "color": MUTED},
    }  # fmt: skip


def _range(chart: Chart, axis: Literal["x", "y"]) -> dict[str, Any]:
    found = extent(chart, axis)
    if found is None:
        return {}
    log = chart.log_x if axis == "x" else chart.log_y
    return {"range": [math.log10(v) for v in found] if log else list(found)}


def _annotation(bound: ReferenceLine, chart: Chart) -> dict[str, Any]:
    log = chart.log_x if bound.axis == "x" else chart.log_y
    at = math.log10(bound.value) if log else bound.value
    side = "right" if near_right(chart, bound) else "left"
    place: dict[str, Any] = (
        {"x": at, "yref": "paper", "y": 1, "yanchor": "top", "xanchor": side}
        if bound.axis == "x"
        else {"y": at, "xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom"}
    )
    return place | {
        "text": escape(bound.label), "showarrow": False, "bgcolor": "rgba(255,255,255,0.75)",
        "font": {"size": 11, "color": MUTED},
    }  # fmt: skip
