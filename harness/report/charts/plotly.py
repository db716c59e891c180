"""Charts for HTML: chart data → what Plotly.newPlot takes.

Names come from scenarios, and Plotly reads a little HTML in texts, so every text is escaped.
"""

from __future__ import annotations

import math
from html import escape

from harness.report.charts import geometry as geo
from harness.report.model.blocks import Band, Chart, ChartSeries, ReferenceLine
from harness.report.model.colours import PAPER, SHADE

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star", "hexagon", "pentagon")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_STEPS = [m * 10.0**e for e in range(-3, 7) for m in (1, 2, 5)]
LOG_TICKS = {"tickmode": "array", "tickvals": _STEPS, "ticktext": [f"{v:,.10g}" for v in _STEPS]}
HEIGHTS = {"half": 340, "third": 270, "full": 380}
DIGITS = 6
"""Significant digits of the values: more than a plot can show, and less to send."""
CONFIG = {
    "displaylogo": False, "displayModeBar": "hover", "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"],
    "showSendToCloud": False, "showEditInChartStudio": False, "plotlyServerURL": "",
}  # fmt: skip
"""The last line takes away what uploads a chart, by its names in Plotly 7 and before."""


def figure(chart: Chart) -> dict[str, object]:
    """`{data, layout, config}` of a chart, all plain JSON."""
    data: list[object] = [_rounded(_trace(s, chart.sideways)) for s in chart.series]
    return {"data": data, "layout": _layout(chart), "config": CONFIG}


def _rounded(value: object) -> object:
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _trace(series: ChartSeries, lying: bool) -> dict[str, object]:
    across, along = geo.arms(series.x, series.x_range), geo.arms(series.y, series.y_range)
    errors = {"error_x": across, "error_y": along}
    return {
        "name": escape(series.name), "x": list(series.x), "y": list(series.y),
        "hovertext": [escape(label) for label in series.labels], "hoverinfo": "text",
        "hoverlabel": {"namelength": -1},
        **{
            axis: {
                "type": "data", "symmetric": False, "thickness": 1.2, "width": 3,
                "color": series.color, "array": [*found[1]], "arrayminus": [*found[0]],
            }
            for axis, found in errors.items() if found is not None
        },
        **_drawn(series), **({"orientation": "h"} if lying and series.mode == "bar" else {}),
    }  # fmt: skip


def _drawn(series: ChartSeries) -> dict[str, object]:
    """How a trace is drawn: bars, a thin line, or markers with or without a line."""
    if series.mode == "bar":
        pattern = {"shape": geo.HATCHES[series.hatch % len(geo.HATCHES)], "fillmode": "overlay",
                   "fgcolor": PAPER, "fgopacity": 0.55, "size": 6}  # fmt: skip
        return {"type": "bar", "width": series.width,
                "marker": {"color": series.color, "pattern": pattern}}  # fmt: skip
    if series.mode == "thin":
        return {"type": "scatter", "mode": "lines", "line": {
            "color": series.color, "width": 1.5, "dash": DASHES[series.dashed % len(DASHES)],
        }}  # fmt: skip
    dash, symbol = DASHES[series.dashed % len(DASHES)], SYMBOLS[series.marker % len(SYMBOLS)]
    return {
        "type": "scatter",
        "mode": ("lines+markers" if series.mode == "line" else "markers")
        + ("+text" if series.texts else ""),
        "text": [escape(t) for t in series.texts], "textposition": "top left",
        "line": {"color": series.color, "width": 2, "dash": dash},
        "marker": {
            "color": series.color, "size": 8, "symbol": symbol,
            "line": {"color": PAPER, "width": 1},
        },
        "cliponaxis": False, **({"yaxis": "y2"} if series.right else {}),
    }  # fmt: skip


def _layout(chart: Chart) -> dict[str, object]:
    axes = {"xaxis": _along(chart, "x"), "yaxis": _along(chart, "y")}
    if chart.right_title:
        axes["yaxis2"] = _axis(chart.right_title, False) | {
            "overlaying": "y", "side": "right", "rangemode": "tozero", "showgrid": False,
            "tickmode": "auto", **_range(chart, "y", right=True),
        }  # fmt: skip
    right, top = 58 if chart.right_title else 16, 24 if chart.bands else 14
    return {
        "font": {"family": FONT, "size": 12, "color": geo.INK},
        "paper_bgcolor": PAPER, "plot_bgcolor": PAPER,
        "margin": {"l": 58, "r": right, "t": top, "b": 48},
        "height": 90 + 24 * len(chart.ticks) if chart.sideways else HEIGHTS[chart.size],
        "showlegend": False,  # the page has its own, see legend.py
        "hovermode": "closest", "barmode": "stack" if chart.stacked else "overlay", **axes,
        "shapes": [
            *(_band(b, i) for i, b in enumerate(chart.bands)), *(_shape(b) for b in chart.bounds),
        ],
        "annotations": [
            *(_band_label(b) for b in geo.wide_bands(chart)),
            *(_annotation(b, chart) for b in chart.bounds),
        ],
    }  # fmt: skip


def _axis(title: str, log: bool) -> dict[str, object]:
    return {
        "title": {"text": escape(title), "standoff": 8, "font": {"size": 12, "color": geo.MUTED}},
        "type": "log" if log else "linear", **(LOG_TICKS if log else {}),
        "gridcolor": geo.GRID, "zerolinecolor": geo.GRID, "autotickangles": [0, -30, -60],
        "linecolor": "#B8C0CA", "ticks": "outside", "tickcolor": "#B8C0CA",
    }  # fmt: skip


def _along(chart: Chart, axis: geo.Axis) -> dict[str, object]:
    title, log = (chart.x_title, chart.log_x) if axis == "x" else (chart.y_title, chart.log_y)
    found = _axis(title, log) | {"automargin": True}
    if not geo.listed(chart, axis):
        from_zero = {"rangemode": "tozero"} if chart.zero and not log else {}
        return found | from_zero | _range(chart, axis)
    ends = [-0.6, len(chart.ticks) - 0.4]
    return found | {
        "tickmode": "array", "tickvals": list(range(len(chart.ticks))),
        "ticktext": [escape(t) for t in chart.ticks],
        "range": ends[::-1] if chart.sideways else ends, "showgrid": False, "zeroline": False,
    }  # fmt: skip


def _range(chart: Chart, axis: geo.Axis, *, right: bool = False) -> dict[str, object]:
    ends = geo.extent(chart, axis, right=right)
    return {} if ends is None else {"range": [_place(chart, axis, v, right) for v in ends]}


def _place(chart: Chart, axis: geo.Axis, value: float, right: bool = False) -> float:
    """Where a value lies for Plotly: on a logarithmic axis its exponent."""
    log = chart.log_x if axis == "x" else chart.log_y and not right
    return math.log10(value) if log else value


def _shape(bound: ReferenceLine) -> dict[str, object]:
    across = "y" if bound.axis == "x" else "x"
    return {
        "type": "line", "line": {"color": geo.MUTED, "width": 1.4, "dash": "dash"},
        f"{across}ref": "paper", f"{across}0": 0, f"{across}1": 1,
        f"{bound.axis}0": bound.value, f"{bound.axis}1": bound.value,
    }  # fmt: skip


def _band(band: Band, index: int) -> dict[str, object]:
    return {
        "type": "rect", "layer": "below", "yref": "paper", "y0": 0, "y1": 1, "x0": band.begin,
        "x1": band.end, "line": {"width": 0}, "fillcolor": geo.BANDS[2 if band.line else index % 2],
    }  # fmt: skip


def _band_label(band: Band) -> dict[str, object]:
    return {
        "text": escape(band.label), "x": (band.begin + band.end) / 2, "yref": "paper", "y": 1,
        "yanchor": "bottom", "showarrow": False, "font": {"size": 10, "color": geo.MUTED},
        "yshift": -14 * band.line,
    }  # fmt: skip


def _annotation(bound: ReferenceLine, chart: Chart) -> dict[str, object]:
    at = _place(chart, bound.axis, bound.value)
    side = "right" if geo.near_right(chart, bound) else "left"
    place: dict[str, object] = (
        {"x": at, "yref": "paper", "y": 1, "yanchor": "top", "xanchor": side}
        if bound.axis == "x"
        else {"y": at, "xref": "paper", "x": 1, "xanchor": "right", "yanchor": "bottom"}
    )
    return place | {
        "text": escape(bound.label), "showarrow": False, "bgcolor": SHADE,
        "font": {"size": 11, "color": geo.MUTED},
    }  # fmt: skip
