"""Ends of axes, places of labels: what both renderers share."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.charts import matplotlib, plotly
from harness.report.charts.geometry import extent, near_right, wide_bands
from harness.report.model.blocks import Band, Chart, ChartSeries, ReferenceLine, table
from harness.report.model.context import Context
from harness.report.sections.configurations import performance_charts

EMPTY = table([], [])


def test_a_wide_interval_does_not_squeeze_the_values_together() -> None:
    wide = ChartSeries("a", "#000000", (1.0, 2.0), (10.0, 20.0), y_range=((9.0, 11.0), (0.1, 4e6)))
    chart = Chart("c", "t", "x", "y", (wide,), EMPTY)
    assert extent(chart, "y") == pytest.approx((0.0, 1.06 * 30.0))
    assert extent(replace(chart, log_y=True), "y") == pytest.approx((10 / 1.5 / 1.12, 30 * 1.12))
    assert plotly.figure(chart)["layout"]["yaxis"]["range"] == pytest.approx([0.0, 31.8])
    named = replace(chart, log_x=True, series=(replace(wide, texts=("b1/c1", "")),))
    assert extent(named, "x") == pytest.approx((1 / 1.4, 2 * 1.12)), "room for the first text"


def test_a_constraint_is_in_the_picture_unless_it_lies_far_away() -> None:
    series = ChartSeries("a", "#000000", (1.0, 2.0), (10.0, 20.0))
    chart = Chart("c", "t", "x", "y", (series,), EMPTY)
    near, far = ReferenceLine("x", 5.0, "near"), ReferenceLine("x", 500.0, "far")
    assert extent(replace(chart, bounds=(near,)), "x") == pytest.approx((0, 5.3))
    assert extent(replace(chart, bounds=(far,)), "x") == pytest.approx((0, 2.12))
    assert near_right(chart, near)
    assert not near_right(chart, ReferenceLine("x", 0.5, "left"))


def test_an_axis_of_zeros_is_left_to_the_library() -> None:
    chart = Chart("c", "t", "x", "y", (ChartSeries("a", "#000000", (1.0,), (0.0,)),), EMPTY)
    assert extent(chart, "y") is None
    assert matplotlib.svg(chart)


def test_the_right_axis_follows_the_same_rule(cpu: Context) -> None:
    chart = performance_charts(cpu, "torch-cpu-fp32")[0]
    line = chart.series[-1]
    wide = replace(line, y_range=((1.0, 1e9),) * len(line.y))
    found = extent(replace(chart, series=(*chart.series[:-1], wide)), "y", right=True)
    assert found == pytest.approx((0.0, 1.06 * 1.5 * max(line.y)))
    assert extent(chart, "y") is None  # bars, whose heights add up


def test_a_label_stands_only_where_it_fits() -> None:
    bands = (Band(0, 90, "long enough"), Band(90, 91, "load"), Band(91, 100, "b1/c4"))
    series = ChartSeries("a", "#000000", (0.0, 100.0), (1.0, 2.0), "thin")
    chart = Chart("c", "t", "x", "y", (series,), EMPTY, bands=bands)
    assert [b.label for b in wide_bands(chart)] == ["long enough", "b1/c4"]
    assert [b.label for b in wide_bands(replace(chart, size="third"))] == ["long enough"]
    assert wide_bands(replace(chart, bands=())) == []


def test_what_lies_over_other_bands_has_a_colour_and_a_line_of_its_own() -> None:
    bands = (Band(0, 50, "before"), Band(50, 100, "after"), Band(74, 75, "kill", 1))
    series = ChartSeries("a", "#000000", (0.0, 100.0), (1.0, 2.0), "thin")
    chart = Chart("c", "t", "x", "y", (series,), EMPTY, bands=bands, size="full")
    assert [b.label for b in wide_bands(chart)] == ["before", "after", "kill"]
    layout = plotly.figure(chart)["layout"]
    assert len({shape["fillcolor"] for shape in layout["shapes"]}) == 3
    *_, after, kill = ((a["y"], a["yshift"]) for a in layout["annotations"])
    assert (after, kill) == ((1, 0), (1, -14))
    assert ">kill<" in matplotlib.svg(chart)


def test_of_differences_all_is_shown() -> None:
    """Also the part of an interval that lies on the other side of 0, and a tolerance there."""
    series = ChartSeries("s", "#0072B2", (0.0, 5.0), (0.0, 1.0), "marks",
                         x_range=((-2.0, 2.0), (-9.0, 19.0)))  # fmt: skip
    chart = Chart("c", "t", "x", "", (series,), table((), ()), ticks=("a", "b"), zero=False,
                  sideways=True)  # fmt: skip
    ends = extent(chart, "x")
    assert ends is not None
    assert ends[0] < -9
    assert ends[1] > 19
    assert extent(chart, "y") is None  # its names are there
