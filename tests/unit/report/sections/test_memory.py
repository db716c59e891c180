"""Memory over time: telemetry files as series with marks, and the charts made of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import plotly.graph_objects as go
import pytest
from support.rows import measurement

from harness.report.charts import geometry
from harness.report.charts import matplotlib as static
from harness.report.charts import plotly as interactive
from harness.report.model.context import Context
from harness.report.sections.memory import (
    GPU,
    HOST,
    MemoryTimeline,
    chart,
    downsample,
    memory_charts,
    timelines,
)
from harness.results.rows import LoadedRow
from harness.results.series import SeriesKey, TelemetrySeries, write_parquet
from harness.results.store import RunData

FOUND = MemoryTimeline(
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
    assert [b.label for b in geometry.wide_bands(found)] == ["server", "b1/c4"]
    figure = interactive.figure(found)
    json.dumps(figure, allow_nan=False)
    go.Figure({"data": figure["data"], "layout": figure["layout"]})
    assert len([s for s in figure["layout"]["shapes"] if s["type"] == "rect"]) == 3
    text = "".join(ElementTree.fromstring(static.svg(found)).itertext())
    assert "b1/c4" in text and "load" not in text


def test_the_first_round_of_what_the_summary_shows(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    def session(data: RunData, row: LoadedRow, steps: int) -> MemoryTimeline | None:
        if (row.backend, row.round) == ("torch-cpu-fp32", 0) or row.backend.startswith("triton"):
            return None  # without telemetry
        read.append((row.backend, row.round))
        return MemoryTimeline(row.backend, row.round, FOUND.t_s, FOUND.series, FOUND.marks)

    read: list[tuple[str, int]] = []
    monkeypatch.setattr("harness.report.sections.memory._timeline", session)
    assert [c.title for c in memory_charts(cpu)] == [
        "torch-cpu-fp32, round 2", "onnxruntime-cpu-fp32, round 1",
    ]  # fmt: skip
    assert sorted(read) == [("onnxruntime-cpu-fp32", 0), ("torch-cpu-fp32", 1)], "and no other"
    monkeypatch.undo()
    assert memory_charts(cpu) == ()  # this run has no telemetry


key = SeriesKey.parse

MIB = 2**20
S = 1_000_000_000
BEGIN = 50 * S


def series(*pairs: tuple[float, float]) -> TelemetrySeries:
    """(seconds after BEGIN, MiB)."""
    seconds, values = zip(*pairs, strict=True)
    return TelemetrySeries((BEGIN + np.array(seconds) * S).astype(np.int64), np.array(values) * MIB)


MEMORY = {
    key("host_bytes"): series((0, 0.0), (1.1, 30.0), (2.1, 100.0), (5.3, 700.0), (5.302, 100.0),
                         (10, 101.0)),
    key("tree_cpu_s"): series((0, 0.0), (10, 1.0)),
}  # fmt: skip
STAGES = {"baseline": BEGIN + S // 2, "context": BEGIN + S, "weights": BEGIN + 2 * S,
          "warm": BEGIN + 3 * S}  # fmt: skip


def loaded(file: str = "telemetry/r0-t.parquet", **details: Any) -> LoadedRow:
    return LoadedRow("t", 0, 1.0, 1.0, None, None, None,
                     {"telemetry": file, "stages_ns": STAGES, **details})  # fmt: skip


def measured(point: str = "t/b4/c2", begin: float = 4, end: float = 9, **changes: Any) -> Any:
    ends = {"window_begin_ns": int(BEGIN + begin * S), "window_end_ns": int(BEGIN + end * S)}
    return measurement(**{"point": point, "backend": "t", **ends, **changes})


def run(
    path: Path, *rows: Any, memory: dict[SeriesKey, TelemetrySeries] | None = None
) -> list[MemoryTimeline]:
    (path / "telemetry").mkdir(exist_ok=True)
    write_parquet(path / "telemetry/r0-t.parquet", MEMORY if memory is None else memory)
    return timelines(RunData(path, {}, rows), steps=10)


def test_memory_against_time_with_stages_and_windows(tmp_path: Path) -> None:
    (found,) = run(tmp_path, loaded(server="triton"), measured())
    assert (found.name, found.round) == ("t", 0)
    assert list(found.series) == [HOST]
    assert found.t_s == pytest.approx(range(10), abs=0.01)
    assert found.series[HOST] == (0, 30, 100, 100, 100, 700, 100, 100, 100, 101)
    assert found.marks == (
        (0, 0.5, "start"), (0.5, 1, "server"), (1, 2, "load"), (2, 3, "first call"),
        (4, 9, "b4/c2"),
    )  # fmt: skip


def test_before_there_is_a_process_nothing_is_known_of_it(tmp_path: Path) -> None:
    memory = {
        key("host_bytes"): series((3.1, 30.0), (9, 30.0)),
        key("machine_cpu_s"): MEMORY[key("tree_cpu_s")],
    }
    (found,) = run(tmp_path, loaded(), memory=memory)
    assert found.series[HOST] == (None, None, None, *[30] * 7)


def test_a_local_backend_has_a_cuda_context_for_a_server(tmp_path: Path) -> None:
    (found,) = run(tmp_path, loaded())
    assert [label for *_, label in found.marks] == ["start", "CUDA context", "load", "first call"]


def test_the_gpu_is_told_by_process_where_it_can_be(tmp_path: Path) -> None:
    gpu = {key("gpu0_device_bytes"): series((0, 500.0), (10, 900.0))}
    hidden = {**gpu, key("gpu0_process_bytes"): series((0, 0.0), (10, 0.0))}
    seen = {**gpu, key("gpu0_process_bytes"): series((0, 0.0), (10, 350.0))}
    for memory, names in ((gpu, 1), (hidden, 1), (seen, 2)):
        (found,) = run(tmp_path, loaded(), memory=memory)
        assert len(found.series) == names
        assert (GPU in found.series) == (names == 2)


def test_windows_of_others_are_not_marked(tmp_path: Path) -> None:
    others = [
        measured(backend="u"), measured(round=1), measured(config="i2"),
        measured(begin=20, end=25),
    ]  # fmt: skip
    (found,) = run(tmp_path, loaded(), *others, measured("t/b1/r131.5", 5, 6))
    assert [m for m in found.marks if "/" in m[2]] == [(5, 6, "b1/r131.5")]


def test_sessions_without_readings_are_left_out(tmp_path: Path) -> None:
    assert run(tmp_path, loaded("telemetry/gone.parquet")) == []
    assert run(tmp_path, replace(loaded(), details={})) == []
    assert run(tmp_path, loaded(), memory={}) == []
    assert run(tmp_path, loaded(), memory={key("tree_cpu_s"): MEMORY[key("tree_cpu_s")]}) == []


def test_a_peak_of_one_reading_survives_and_gaps_hold_the_last_value() -> None:
    edges = np.linspace(BEGIN, BEGIN + 10 * S, 4)
    assert downsample(series((4, 5.0), (4.5, 90.0), (4.6, 5.0)), edges) == (None, 90, 5)
