"""Chart data as Plotly takes it: valid keys, escaped texts, intervals as arms."""

from __future__ import annotations

import json

import plotly.graph_objects as go
import pytest
from support.synthetic_run import EVIL

from harness.report.charts.plotly import figure
from harness.report.model.blocks import Chart, ChartSeries, ReferenceLine, table
from harness.report.model.context import Context
from harness.report.view import build_view


def test_plotly_takes_every_figure(cpu: Context, gpu: Context) -> None:
    for view in (build_view(cpu), build_view(gpu)):
        for chart in [*view.all_charts(), *view.folded_charts()]:
            made = figure(chart)
            json.dumps(made, allow_nan=False)
            go.Figure({"data": made["data"], "layout": made["layout"]})  # raises on a wrong key
            assert len(made["data"]) == len(chart.series)


def test_names_are_text() -> None:
    evil = ChartSeries(EVIL, "#000000", (1.0, 2.0), (1.0, 2.0), labels=(EVIL, EVIL))
    made = figure(Chart("c", EVIL, EVIL, EVIL, (evil,), table([], []), ticks=(EVIL, EVIL)))
    assert "<" not in json.dumps({k: v for k, v in made.items() if k != "config"})


def test_an_interval_is_what_it_reaches_below_and_above_its_value() -> None:
    ranges = ((9.0, 12.0), None)
    series = ChartSeries("a", "#000000", (1.0, 2.0), (10.0, 20.0), y_range=ranges)
    (trace,) = figure(Chart("c", "t", "x", "y", (series,), table([], [])))["data"]
    assert (trace["error_y"]["arrayminus"], trace["error_y"]["array"]) == ([1.0, 0], [2.0, 0])
    assert "error_x" not in trace


def test_on_a_logarithmic_axis_ends_and_lines_are_exponents() -> None:
    series = ChartSeries("a", "#000000", (10.0, 1000.0), (1.0, 2.0))
    chart = Chart("c", "t", "x", "y", (series,), table([], []), log_x=True,
                  bounds=(ReferenceLine("x", 100.0, "limit"),))  # fmt: skip
    layout = figure(chart)["layout"]
    assert layout["xaxis"]["range"] == pytest.approx([0.951, 3.049], abs=1e-3)
    assert layout["annotations"][0]["x"] == pytest.approx(2.0)
    assert layout["shapes"][0]["x0"] == 100.0  # shapes are placed by value


def test_configurations_differ_in_more_than_their_colour(cpu: Context, gpu: Context) -> None:
    """By dash and marker, bars by their pattern, in each chart that draws several."""
    for view in (build_view(cpu), build_view(gpu)):
        for chart in view.all_charts():
            cues: dict[str, set[object]] = {}
            for trace in figure(chart)["data"]:
                line, marker = trace.get("line", {}), trace.get("marker", {})
                symbol = None if chart.markers else marker.get("symbol")
                pattern = marker.get("pattern", {}).get("shape")
                cue = (trace.get("mode"), line.get("dash"), symbol, pattern)
                cues.setdefault(trace["name"], set()).add(cue)
            pairs = [(a, b) for a in cues for b in cues if a < b and cues[a] & cues[b]]
            assert not pairs or len(cues) > 6, (chart.id, cues)


def test_a_chart_that_lies_has_its_names_down_its_side() -> None:
    bars = ChartSeries("s", "#0072B2", (3.0, -1.0), (0.0, 1.0), "bar", x_range=((2.0, 4.0), None))
    chart = Chart("c", "t", "µs", "", (bars,), table((), ()), ticks=("first", "<b>"), zero=False,
                  sideways=True)  # fmt: skip
    drawn = json.loads(json.dumps(figure(chart)))
    layout, (trace,) = drawn["layout"], drawn["data"]
    assert layout["yaxis"]["ticktext"] == ["first", "&lt;b&gt;"]
    assert layout["yaxis"]["range"] == [1.6, -0.6]
    assert "ticktext" not in layout["xaxis"]
    assert layout["xaxis"]["title"]["text"] == "µs"
    assert (trace["orientation"], trace["x"]) == ("h", [3.0, -1.0])
    go.Figure(drawn["data"], layout)


def test_large_values_on_a_logarithmic_axis_are_written_out() -> None:
    series = ChartSeries("a", "#000000", (1.0, 2.0), (1e5, 1e6))
    chart = Chart("c", "t", "x", "y", (series,), table([], []), log_y=True)
    ticks = figure(chart)["layout"]["yaxis"]["ticktext"]
    assert "1,000,000" in ticks and "0.001" in ticks
    assert not any("e" in text for text in ticks)
