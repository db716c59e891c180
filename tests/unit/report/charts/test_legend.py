"""Legends: which entries there are, and their keys as SVG."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from harness.report.charts import plotly
from harness.report.charts.legend import entries
from harness.report.charts.lines import summary_charts
from harness.report.model.blocks import Chart, ChartSeries, table
from harness.report.model.context import Context
from harness.report.sections.configurations import detail_charts


def test_a_name_in_the_legend_stands_once(cpu: Context) -> None:
    chart = summary_charts(cpu)[0]
    assert [e.name for e in entries(chart)] == [*cpu.series, "batch 1", "batch 4"]
    assert not plotly.figure(chart)["layout"]["showlegend"]  # the page has that one
    for entry in entries(chart):
        assert ElementTree.fromstring(entry.key).tag == "svg"


def test_one_name_alone_needs_no_legend(cpu: Context) -> None:
    memory = detail_charts(cpu, "torch-cpu-fp32")[-1]
    assert memory.title == "Host Memory vs. Latency"
    assert [e.name for e in entries(memory)] == ["batch 1", "batch 4"]
    assert entries(replace(memory, markers=())) == []


@pytest.mark.parametrize(("marker", "corners"), [(2, 4), (3, 3), (4, 12), (5, 10), (7, 5)])
def test_a_marker_has_its_corners(marker: int, corners: int) -> None:
    names = tuple(f"batch {2**i}" for i in range(marker + 1))
    series = ChartSeries("a", "#000000", (1.0,), (1.0,))
    chart = Chart("c", "t", "x", "y", (series,), table([], []), markers=names)
    key = ElementTree.fromstring(entries(chart)[marker].key)
    (polygon,) = (e for e in key if e.tag == "polygon")
    assert len(polygon.attrib["points"].split()) == corners


def test_a_bar_is_a_square_in_its_colour() -> None:
    bars = tuple(
        ChartSeries(n, c, (0.0,), (1.0,), "bar") for n, c in (("a", "#111"), ("b", "#222"))
    )
    first, second = entries(Chart("c", "t", "x", "y", bars, table([], [])))
    assert 'fill="#111"' in first.key and "<rect" in first.key
    assert (second.name, second.series) == ("b", "b")
