"""Memory over time as charts: series, shaded stages, and the table of stages."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import plotly.graph_objects as go
import pytest

from harness.report.charts import matplotlib as static
from harness.report.charts import plotly as interactive
from harness.report.model.context import Context
from harness.report.sections.memory import Timeline, chart, memory_charts

FOUND = Timeline(
    "triton", 0, (0.0, 1.0, 2.0, 3.0, 4.0),
    {"host memory": (10.0, 60.0, 80.0, 75.0, 90.0), "GPU memory": (None, 5.0, 500.0, 700.0, 650.0)},
    ((0.0, 1.5, "server"), (1.5, 1.6, "load"), (2.0, 4.5, "b1/c4")),
)  # fmt: skip


def test_series_begin_where_they_are_known() -> None:
    host, gpu = chart("m", "triton", FOUND).series
    assert host.x == FOUND.t_s
    assert gpu.x == (1.0, 2.0, 3.0, 4.0)
    assert host.color != gpu.color
    assert gpu.labels[1] == "GPU memory at 2 s: 500 MiB"


def test_stages_are_bands_and_rows_with_their_peaks() -> None:
    found = chart("m", "triton", FOUND)
    assert [b.label for b in found.bands] == ["server", "load", "b1/c4"]
    rows = [[c.text for c in row] for row in found.table.rows]
    # a step's value stands up to the next: 60 MiB were held when "server" ended and in "load"
    assert rows[0] == ["server", "0", "1.50", "60.0", "5.00"]
    assert rows[1] == ["load", "1.50", "1.60", "60.0", "5.00"]
    assert rows[2] == ["b1/c4", "2.00", "4.50", "90.0", "700"]


def test_labels_stand_where_they_fit_and_both_formats_draw_them() -> None:
    found = chart("m", "triton", FOUND)
    assert [b.label for b in interactive.wide_bands(found)] == ["server", "b1/c4"]
    figure = interactive.figure(found)
    json.dumps(figure, allow_nan=False)
    go.Figure({"data": figure["data"], "layout": figure["layout"]})
    assert len([s for s in figure["layout"]["shapes"] if s["type"] == "rect"]) == 3
    text = "".join(ElementTree.fromstring(static.svg(found)).itertext())
    assert "b1/c4" in text and "load" not in text


def test_the_first_round_of_what_the_summary_shows(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["onnxruntime-cpu-fp32", "torch-cpu-fp32", "onnxruntime-cpu-fp32", "gone"]
    rounds = [Timeline(n, i, FOUND.t_s, FOUND.series, FOUND.marks) for i, n in enumerate(names)]
    monkeypatch.setattr("harness.report.sections.memory.timelines", lambda data: rounds)
    assert [c.title for c in memory_charts(cpu)] == [
        "torch-cpu-fp32, round 2", "onnxruntime-cpu-fp32, round 1",
    ]  # fmt: skip
    monkeypatch.undo()
    assert memory_charts(cpu) == ()  # this run has no telemetry
