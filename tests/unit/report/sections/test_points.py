"""The tables of points: their columns, and what stands in them."""

from __future__ import annotations

from dataclasses import replace

from support.rows import measurement, point, with_metrics

from harness.analysis.summary import summarize
from harness.report.model.blocks import Table
from harness.report.model.context import Context
from harness.report.sections.points import (
    best_table,
    detail_table,
    metric_cell,
    points_table,
    status_cell,
)
from harness.scenario.metrics import METRICS


def titles(table: Table) -> list[str]:
    return [header.text for header in table.headers]


def test_the_best_points_columns(cpu: Context, gpu: Context) -> None:
    first = [
        "Rank", "Configuration", "Batch", "Concurrency", "Max Batch Size", "Dynamic Batching",
        "Total Instance Count", "p50 latency (ms)", "p99 latency (ms)", "Throughput (infer/s)",
        "Host memory (MiB)",
    ]  # fmt: skip
    measured = [t for t in first if t != "p99 latency (ms)"]  # too few requests at every best point
    assert titles(best_table(cpu)) == [*measured, "Errors"]
    assert "p99 latency (ms)." in best_table(cpu).notes[-1]
    assert titles(best_table(gpu)) == [
        *first, "GPU memory (MiB)", "GPU utilisation (%)", "Errors",
    ]  # fmt: skip


def test_every_point_with_its_own_values(gpu: Context) -> None:
    table = points_table(gpu)
    assert titles(table)[-4:] == [
        "Host memory (MiB)", "GPU memory (MiB)", "GPU utilisation (%)", "Errors",
    ]  # fmt: skip
    assert "Constraints" in titles(table)
    assert "Constraints" not in titles(points_table(replace(gpu, bounds={})))
    assert len(table.rows) == len(gpu.rows)
    name, size = titles(table).index("Configuration"), titles(table).index("GPU memory (MiB)")
    memory = {gpu.name(r): metric_cell(r, METRICS["gpu_memory_mib"]).text for r in gpu.rows}
    assert memory[table.rows[0][name].text] == table.rows[0][size].text


def test_a_cell_is_an_interval_a_floor_or_a_number() -> None:
    row = point([100.0, 102.0, 98.0], host_memory_mib=512.0, latency_ms={"p50": 3.0, "p99": None})
    assert metric_cell(row, METRICS["throughput"]).range
    assert metric_cell(row, METRICS["host_memory_mib"]).text == "512"
    assert metric_cell(row, METRICS["latency_p99_ms"]).note == "p99 needs 662 requests a round"
    assert metric_cell(row, METRICS["gpu_memory_mib"]).text == "n/a"


def test_status() -> None:
    assert status_cell(point()).text == "ok"
    assert status_cell(point(flags=("few_requests",))).text == "ok"
    assert status_cell(point(flags=("host_bound",))).text == "CPU too slow to feed the GPU"
    invalid = status_cell(point(flags=("parity", "errors")))
    assert (invalid.text, invalid.tone) == ("invalid (outputs differ from the reference)", "bad")


def test_rounds_that_were_disturbed_are_counted() -> None:
    rows = [measurement(round=n, flags=("foreign_load",) if n == 2 else ()) for n in range(5)]
    (found,) = summarize(rows)
    assert status_cell(found).text == "ok; 4 of 5 rounds (1 disturbed)"
    every = point([1.0, 1.0], flags=("foreign_load",))
    assert status_cell(every).text == "machine was busy; 2 rounds, disturbed"


def test_where_time_goes_is_there_with_a_server_alone(cpu: Context) -> None:
    triton = next(n for n in cpu.series if n.startswith("triton"))
    assert "Client and network (ms)" in titles(detail_table(cpu, triton))
    assert titles(detail_table(cpu, triton))[1:3] == ["Concurrency", "p50 latency (ms)"]
    assert "Server Queue (ms)" not in titles(detail_table(cpu, cpu.series[0]))


def test_a_value_is_shown_without_its_interval_where_there_is_none() -> None:
    row = with_metrics(point(), throughput=1234.6)
    assert metric_cell(row, METRICS["throughput"]).text == "1,235"
    assert metric_cell(row, METRICS["throughput"]).range == ""


def test_the_best_points_are_none_that_failed_or_are_invalid(cpu: Context) -> None:
    """As its note says; a configuration without another has no row."""
    rows = tuple(replace(r, valid=r.backend != "onnxruntime-cpu-fp32") for r in cpu.rows)
    found = best_table(replace(cpu, rows=rows))
    names = [row[titles(found).index("Configuration")].text for row in found.rows]
    assert "onnxruntime-cpu-fp32" not in names and len(names) == 3
    assert any("of onnxruntime-cpu-fp32" in note for note in found.notes)
