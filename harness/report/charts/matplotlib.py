"""Charts for PDF: the same chart data → SVG by matplotlib.

Texts are set as text, and `$` in a name is no mathematics. Space is measured in DejaVu Sans, which
matplotlib brings with it and which is wider than the fonts that the print style sheet asks for.
"""

from __future__ import annotations

import io
import logging
import warnings
from typing import TYPE_CHECKING, Any, Literal

from harness.report.charts import geometry as geo
from harness.report.model.blocks import Chart, ChartSeries, ReferenceLine

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

logging.getLogger("matplotlib").setLevel(logging.ERROR)
"""Where its cache can't be written it makes a temporary one, and would say so on stderr."""
SYMBOLS = ("o", "s", "D", "^", "P", "*", "h", "p")
DASHES = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.", (0, (8, 2)), (0, (8, 2, 1, 2)))
SIZES = {"half": (5.1, 1.8), "third": (3.45, 1.75), "full": (10.4, 2.3)}
"""Inches; what `print.css` gives each, so that texts keep their size."""
FONTS = "'Liberation Sans', Arial, Report"
"""As in print.css, where `Report` is matplotlib's DejaVu Sans."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.0, "axes.edgecolor": "#B8C0CA", "axes.labelcolor": geo.MUTED,
    "text.color": geo.INK, "xtick.color": geo.MUTED, "ytick.color": geo.MUTED,
    "axes.linewidth": 0.6, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "axes.spines.top": False, "legend.frameon": False,
}  # fmt: skip


def svg(chart: Chart) -> str:
    """The chart as an `<svg>` element; the same chart always gives the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    with mpl.rc_context({**STYLE, "svg.hashsalt": chart.id}):
        width, usual = SIZES[chart.size]
        height = 0.5 + 0.17 * len(chart.ticks) if chart.sideways else usual
        drawing = Figure(figsize=(width, height))
        FigureCanvasSVG(drawing)
        _draw(drawing, chart)
        buffer = io.StringIO()
        with warnings.catch_warnings():  # texts that are longer than the chart are drawn anyhow
            warnings.filterwarnings("ignore", "constrained_layout not applied")
            ConstrainedLayoutEngine().execute(drawing)  # once: as its own, `savefig` draws for it
            drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("'DejaVu Sans'", FONTS)


def _draw(drawing: Figure, chart: Chart) -> None:
    axes = drawing.add_subplot()
    right = axes.twinx() if chart.right_title else None
    heights = [0.0] * len(chart.ticks)
    for series in chart.series:
        target = right if series.right and right is not None else axes
        if series.mode == "bar":
            heights = _bars(target, series, chart, heights)
        else:
            _points(target, series)
    axes.margins(y=0.09)
    _axes(axes, chart)
    if right is not None:
        right.set_ylabel(chart.right_title)
        right.set_ylim(geo.extent(chart, "y", right=True) or (0, right.get_ylim()[1] * 1.08))
        right.spines["right"].set_visible(True)
    else:
        axes.spines["right"].set_visible(False)
    for bound in chart.bounds:
        _bound(axes, bound, leftwards=geo.near_right(chart, bound))
    for i, band in enumerate(chart.bands):
        color = geo.BANDS[2 if band.line else i % 2]
        axes.axvspan(band.begin, band.end, color=color, linewidth=0, zorder=0)
    for band in geo.wide_bands(chart):
        axes.annotate(band.label, ((band.begin + band.end) / 2, 1), (0, 2 - 8 * band.line),
                      xycoords=axes.get_xaxis_transform(), textcoords="offset points", fontsize=6,
                      ha="center", va="bottom", color=geo.MUTED)  # fmt: skip


def _points(axes: Axes, series: ChartSeries) -> None:
    _, caps, bars = axes.errorbar(
        series.x, series.y, xerr=geo.arms(series.x, series.x_range),
        yerr=geo.arms(series.y, series.y_range), color=series.color, linewidth=1.4,
        linestyle="none" if series.mode == "marks" else DASHES[series.dashed % len(DASHES)],
        marker="" if series.mode == "thin" else SYMBOLS[series.marker % len(SYMBOLS)],
        markersize=4.6, markeredgecolor="white",
        markeredgewidth=0.5, elinewidth=0.9, capsize=1.8, label=series.name, clip_on=False,
        zorder=3,
    )  # fmt: skip
    for x, y, said in zip(series.x, series.y, series.texts, strict=False):
        axes.annotate(said, (x, y), (-3, 4), textcoords="offset points", ha="right", fontsize=7,
                      color=series.color, zorder=4)  # fmt: skip
    for part in (*caps, *bars):  # a marker at the edge is whole, a bar beyond it is cut
        part.set_clip_on(True)


def _bars(axes: Axes, series: ChartSeries, chart: Chart, heights: list[float]) -> list[float]:
    draw, places, more = axes.bar, (series.x, series.y), dict[str, Any]()
    more["yerr"] = geo.arms(series.y, series.y_range)
    if chart.sideways:
        draw, places = axes.barh, (series.y, series.x)  # type: ignore[assignment]
        more = {"xerr": geo.arms(series.x, series.x_range)}
    elif chart.stacked:
        more["bottom"] = heights
    draw(
        *places, series.width, color=series.color, label=series.name, zorder=2,
        hatch=2 * geo.HATCHES[series.hatch % len(geo.HATCHES)], edgecolor="white", linewidth=0,
        error_kw={"elinewidth": 0.9, "capsize": 1.8, "ecolor": geo.INK}, **more,
    )  # fmt: skip
    return [h + v for h, v in zip(heights, series.y, strict=True)] if chart.stacked else heights


def _axes(axes: Axes, chart: Chart) -> None:
    axes.set_xlabel(chart.x_title)
    axes.set_ylabel(chart.y_title)
    named: Literal["x", "y"] = "x" if chart.sideways else "y"
    axes.grid(visible=True, axis=named if chart.ticks else "both", color=geo.GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    ends: tuple[tuple[geo.Axis, bool, Any], ...] = (
        ("x", chart.log_x, axes.set_xlim), ("y", chart.log_y, axes.set_ylim),
    )  # fmt: skip
    for axis, log, limit in ends:
        if geo.listed(chart, axis):
            _names(axes, chart)
        elif log:
            axes.set(**{f"{axis}scale": "log"})
            _plain_log(axes.xaxis if axis == "x" else axes.yaxis)
        elif chart.zero:
            limit(0)
        if (found := geo.extent(chart, axis)) is not None:
            limit(*found)


def _names(axes: Axes, chart: Chart) -> None:
    places, ends = range(len(chart.ticks)), (-0.6, len(chart.ticks) - 0.4)
    if chart.sideways:
        axes.set_yticks(places, chart.ticks)
        axes.set_ylim(*ends[::-1])
        return
    dense = sum(map(len, chart.ticks)) > {"half": 60, "third": 34, "full": 150}[chart.size]
    axes.set_xticks(places, chart.ticks, rotation=45 if dense else 0,
                    ha="right" if dense else "center")  # fmt: skip
    axes.set_xlim(*ends)


def _plain_log(axis: Axis) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:,.10g}"))
    axis.set_minor_formatter(NullFormatter())


def _bound(axes: Axes, bound: ReferenceLine, *, leftwards: bool) -> None:
    upright = bound.axis == "x"
    draw = axes.axvline if upright else axes.axhline
    draw(bound.value, color=geo.MUTED, linewidth=0.9, linestyle="--", zorder=1)
    label = axes.annotate(
        bound.label, (bound.value, 1) if upright else (1, bound.value),
        xycoords=axes.get_xaxis_transform() if upright else axes.get_yaxis_transform(),
        xytext=((-3 if leftwards else 3), -2) if upright else (-2, 2), textcoords="offset points",
        ha="left" if upright and not leftwards else "right", va="top" if upright else "bottom",
        color=geo.MUTED, fontsize=7,
    )  # fmt: skip
    label.set_in_layout(False)  # else the plot shrinks to make room
