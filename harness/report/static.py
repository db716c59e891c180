"""Charts for PDF: the same chart data → SVG by matplotlib.

Texts are set as text, and `$` in a name is no mathematics. Space is measured in DejaVu Sans, which
matplotlib brings with it and which is wider than the fonts that the print style sheet asks for.
"""

from __future__ import annotations

import io
from typing import Any

from harness.report.parts import Bound, Chart, Series

SYMBOLS = ("o", "s", "D", "^", "P", "*", "h", "p")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), "-.", (0, (8, 2)), (0, (8, 2, 1, 2)))
INK, GRID, MUTED = "#1D2733", "#E7EAEE", "#5C6470"
FONTS = "'Liberation Sans', Arial, Report"
"""As in print.css, where `Report` is matplotlib's DejaVu Sans."""
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 8.0, "axes.edgecolor": "#B8C0CA", "axes.labelcolor": MUTED, "text.color": INK,
    "xtick.color": MUTED, "ytick.color": MUTED, "axes.linewidth": 0.6, "xtick.major.width": 0.6,
    "ytick.major.width": 0.6, "axes.spines.top": False, "legend.frameon": False,
}  # fmt: skip


def svg(chart: Chart) -> str:
    """The chart as an `<svg>` element; the same chart always gives the same text."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context({**STYLE, "svg.hashsalt": chart.id}):
        drawing = Figure(figsize=(5.1, 2.25 if chart.stacked else 2.65), layout="constrained")
        FigureCanvasSVG(drawing)
        _draw(drawing, chart)
        buffer = io.StringIO()
        drawing.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :].replace("'DejaVu Sans'", FONTS)


def _draw(drawing: Any, chart: Chart) -> None:
    axes = drawing.add_subplot()
    right = axes.twinx() if chart.right_title else None
    heights = [0.0] * len(chart.ticks)
    for series in chart.series:
        target = right if series.right and right is not None else axes
        if series.mode == "bar":
            heights = _bars(target, series, chart, heights)
        else:
            _points(target, series)
    _axes(axes, chart)
    if right is not None:
        right.set_ylabel(chart.right_title)
        right.set_ylim(bottom=0, top=right.get_ylim()[1] * 1.08)
        right.spines["right"].set_visible(True)
    else:
        axes.spines["right"].set_visible(False)
    for bound in chart.bounds:
        _bound(axes, bound)
    _legend(drawing, chart, [axes, *([right] if right is not None else [])])


def _error(values: tuple[float, ...], ranges: tuple[tuple[float, float] | None, ...]) -> Any:
    if not any(ranges):
        return None
    pairs = list(zip(values, ranges, strict=True))
    return [[v - r[0] if r else 0 for v, r in pairs], [r[1] - v if r else 0 for v, r in pairs]]


def _points(axes: Any, series: Series) -> None:
    axes.errorbar(
        series.x, series.y, xerr=_error(series.x, series.x_range),
        yerr=_error(series.y, series.y_range), color=series.color, linewidth=1.4,
        linestyle="none" if series.mode == "marks" else DASHES[series.marker % len(DASHES)],
        marker="" if series.mode == "thin" else SYMBOLS[series.marker % len(SYMBOLS)],
        markersize=4.6, markeredgecolor="white",
        markeredgewidth=0.5, elinewidth=0.9, capsize=1.8, label=series.name, clip_on=False,
        zorder=3,
    )  # fmt: skip


def _bars(axes: Any, series: Series, chart: Chart, heights: list[float]) -> list[float]:
    bottom = heights if chart.stacked else None
    axes.bar(
        series.x, series.y, series.width, bottom=bottom, color=series.color, label=series.name,
        yerr=_error(series.y, series.y_range), zorder=2,
        error_kw={"elinewidth": 0.9, "capsize": 1.8, "ecolor": INK},
    )  # fmt: skip
    return [h + v for h, v in zip(heights, series.y, strict=True)] if chart.stacked else heights


def _axes(axes: Any, chart: Chart) -> None:
    axes.set_xlabel(chart.x_title)
    axes.set_ylabel(chart.y_title)
    axes.grid(visible=True, axis="y" if chart.ticks else "both", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    if chart.ticks:
        dense = len(chart.ticks) > 9
        axes.set_xticks(range(len(chart.ticks)), chart.ticks,
                        rotation=45 if dense else 0, ha="right" if dense else "center")  # fmt: skip
        axes.set_xlim(-0.6, len(chart.ticks) - 0.4)
    elif chart.log_x:
        axes.set_xscale("log")
    else:
        axes.set_xlim(left=0)
    if chart.log_y:
        axes.set_yscale("log")
    elif chart.id != "speed-up":
        axes.set_ylim(bottom=0)
    for axis, log in ((axes.xaxis, chart.log_x), (axes.yaxis, chart.log_y)):
        if log:
            _plain_log(axis)


def _plain_log(axis: Any) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


def _bound(axes: Any, bound: Bound) -> None:
    draw = axes.axvline if bound.axis == "x" else axes.axhline
    draw(bound.value, color=MUTED, linewidth=0.9, linestyle="--", zorder=1)
    common = {"color": MUTED, "textcoords": "offset points", "fontsize": 7}
    if bound.axis == "x":
        axes.annotate(bound.label, (bound.value, 1), xycoords=axes.get_xaxis_transform(),
                      xytext=(3, -2), ha="left", va="top", **common)  # fmt: skip
    else:
        axes.annotate(bound.label, (1, bound.value), xycoords=axes.get_yaxis_transform(),
                      xytext=(-2, 2), ha="right", va="bottom", **common)  # fmt: skip


def _legend(drawing: Any, chart: Chart, axes: list[Any]) -> None:
    """One entry a name, then what the markers stand for."""
    from matplotlib.lines import Line2D

    entries: dict[str, Any] = {}
    for each in axes:
        for handle, label in zip(*each.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if chart.markers:
        colors = {s.name: s.color for s in chart.series}
        entries = {name: Line2D([], [], color=color) for name, color in colors.items()}
        entries |= {
            label: Line2D([], [], color=MUTED, linestyle=DASHES[i % len(DASHES)],
                          marker=SYMBOLS[i % len(SYMBOLS)], markersize=4, linewidth=1.2)
            for i, label in enumerate(chart.markers)
        }  # fmt: skip
    if entries:
        drawing.legend(
            list(entries.values()), list(entries), loc="outside lower center", fontsize=7,
            ncols=2 if max(map(len, entries)) > 26 else 3, handlelength=2.4, columnspacing=1.2,
        )  # fmt: skip
