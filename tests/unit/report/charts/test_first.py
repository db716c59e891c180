"""Page 1's chart: the recommended path labelled, rivals coloured, the rest grey, logarithmic."""

from __future__ import annotations

from dataclasses import replace

from harness.report.charts import plotly
from harness.report.charts.first import first_chart
from harness.report.charts.geometry import FAINT
from harness.report.charts.matplotlib import svg
from harness.report.model.context import Context, build_context
from harness.report.model.decision import decide
from harness.results.rows import MeasurementRow


def test_the_path_is_labelled_and_the_rest_is_grey(gpu: Context) -> None:
    found = decide(gpu)
    chart = first_chart(gpu, found)
    assert chart is not None and chart.log_x and chart.log_y and found.take is not None
    grey, path, *rivals = chart.series
    assert grey.color == FAINT and not grey.texts
    assert path.name == gpu.name(found.take) and path.color == gpu.colors[path.name]
    assert all(text.startswith(f"b{found.take.batch_size}/c") for text in path.texts)
    assert len(path.texts) == len(path.x) and not any(r.texts for r in rivals)
    assert path.texts[0] in svg(chart)
    traces = plotly.figure(chart)["data"]
    assert isinstance(traces, list) and traces[1]["text"] == list(path.texts)
    assert "text" in traces[1]["mode"] and "text" not in traces[0]["mode"]


def test_an_open_loads_path_names_its_rates(gpu: Context) -> None:
    events = [replace(e, concurrency=None, request_rate=100.0 * (e.concurrency or 1))
              if isinstance(e, MeasurementRow) else e for e in gpu.data.events]  # fmt: skip
    context = build_context(replace(gpu.data, events=events))
    chart = first_chart(context, decide(context))
    assert chart is not None
    texts = [text for line in chart.series for text in line.texts]
    assert texts and all(text.endswith("00/s") and "c" not in text for text in texts)
