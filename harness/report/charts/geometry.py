"""What both renderers of charts share: colours, the ends of axes, where texts have room."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from harness.report.model.blocks import Band, Chart, ReferenceLine

INK, GRID, MUTED, FAINT = "#1D2733", "#E7EAEE", "#5C6470", "#B9C1CB"
BANDS = ("#EEF3F7", "#F8FAFB", "#FDF3EC")
"""Of bands in turns; the last of those whose names stand below the chart's top."""
HATCHES = ("", "/", "\\", "x", "-", "|", "+", ".")
"""Patterns of bars, by the names that both renderers have for them."""
Axis = Literal["x", "y"]


def arms(
    values: Sequence[float], ranges: Sequence[tuple[float, float] | None]
) -> tuple[list[float], list[float]] | None:
    """How far each interval reaches below and above its value; None where there is none at all."""
    if not any(ranges):
        return None
    pairs = list(zip(values, ranges, strict=True))
    return [v - r[0] if r else 0 for v, r in pairs], [r[1] - v if r else 0 for v, r in pairs]


def wide_bands(chart: Chart) -> list[Band]:
    """The bands that have room for their label; `report.js` hides those that a narrow screen puts
    over one another.
    """
    ends = [end for b in chart.bands for end in (b.begin, b.end)]
    columns = {"half": 70, "third": 45, "full": 150}[chart.size]
    letter = (max(ends, default=0.0) - min(ends, default=0.0)) / columns
    return [b for b in chart.bands if b.line or b.end - b.begin >= letter * (len(b.label) + 1)]


def listed(chart: Chart, axis: Axis) -> bool:
    """Whether the chart's `ticks` stand along it, instead of numbers."""
    return bool(chart.ticks) and axis == ("y" if chart.sideways else "x")


def extent(chart: Chart, axis: Axis, *, right: bool = False) -> tuple[float, float] | None:
    """Ends of an axis of numbers (of the right y axis too); None where the library finds them.

    The values have room, and so have their intervals up to half as much again: a wide interval is
    cut rather than squeezing the values together. A bound is shown unless it lies far away.
    """
    log, free = chart.log_x if axis == "x" else chart.log_y, not listed(chart, axis)
    series = [s for s in chart.series if s.right == right]
    if not free or any(s.mode in ("bar", "thin") for s in series):
        return None
    values = [v for s in series for v in getattr(s, axis)]
    if not values or (log and min(values) <= 0):
        return None
    least, most = min(values), max(values)
    ends = [r for s in series for r in getattr(s, f"{axis}_range") if r]
    limits = [b.value for b in chart.bounds if b.axis == axis and not right]
    high = max([most, *(min(r[1], 1.5 * most) for r in ends),
                *(b for b in limits if b <= 3 * most)])  # fmt: skip
    low = min([least, *(max(r[0], least / 1.5) for r in ends),
               *(b for b in limits if b >= least / 3)])  # fmt: skip
    if min([least, *(r[0] for r in ends)]) < 0:  # differences: all of it is shown
        shown = [least, most, *limits, *(end for r in ends for end in r)]
        low, high = min(shown), max(shown)
    if log:  # a text before the first value has room too
        return low / (1.4 if axis == "x" and any(s.texts for s in series) else 1.12), high * 1.12
    if chart.zero:
        return (0.0, 1.06 * high) if high > 0 else None
    room = 0.06 * (high - low) or 0.1 * abs(high)
    return low - room, high + room


def near_right(chart: Chart, bound: ReferenceLine) -> bool:
    """Whether the text of a bound on x has more room on its left."""
    values = [v for s in chart.series for v in s.x]
    if not values or (min(values) <= 0 and chart.log_x):
        return False
    scale = math.log10 if chart.log_x else float
    low, high = (scale(min(values)) if chart.log_x else 0.0), scale(max(values))
    return scale(bound.value) > low + 0.6 * (high - low)
