"""Telemetry files as downsampled series with the stages and windows marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.report.sections.memory import GPU, HOST, Timeline, downsample, timelines
from harness.results.rows import LoadedRow, MeasurementRow
from harness.results.series import SeriesKey, TelemetrySeries, read_parquet, write_parquet
from harness.results.store import RunData

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
    row = MeasurementRow(
        point, 0, "t", "default", 4, 2, None, "", int(BEGIN + begin * S), int(BEGIN + end * S),
        1, 0, 1.0, 1.0, {}, {},
    )  # fmt: skip
    return replace(row, **changes)


def run(
    path: Path, *rows: Any, memory: dict[SeriesKey, TelemetrySeries] | None = None
) -> list[Timeline]:
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


def test_parquet_gives_back_what_was_written(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", MEMORY)
    found = read_parquet(tmp_path / "a.parquet")
    assert found.keys() == MEMORY.keys()
    for name, expected in MEMORY.items():
        assert np.array_equal(found[name].t_ns, expected.t_ns)
        assert np.array_equal(found[name].value, expected.value)
    write_parquet(tmp_path / "none.parquet", {})
    assert read_parquet(tmp_path / "none.parquet") == {}
