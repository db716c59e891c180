"""Configurations against each other: ratios, sizes, loading, and why a cell has no number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.report.model.blocks import Cell, Table
from harness.report.model.context import Context, build_context
from harness.report.model.section import TableBlock, Text
from harness.report.sections.comparison import (
    latency_table,
    load_table,
    section,
    size_table,
    speedup_table,
)
from harness.results.rows import ArtifactRow


def cells(table: Table | None) -> list[dict[str, Cell]]:
    assert table is not None
    heads = [h.text for h in table.headers]
    return [dict(zip(heads, row, strict=True)) for row in table.rows]


def test_a_speed_up_is_a_ratio_of_throughputs_or_says_why_there_is_none(cpu: Context) -> None:
    rows = cells(speedup_table(cpu))
    assert [(r["Batch"].text, r["Concurrency"].text) for r in rows] == [
        (b, c) for b in ("1", "4") for c in ("1", "2", "4")
    ]
    assert "torch-cpu-fp32" not in rows[0]  # it is the reference
    values = {r.point: r.throughput.value for r in cpu.rows if r.throughput}
    onnx = rows[0]["onnxruntime-cpu-fp32"]
    ratio = values["onnxruntime-cpu-fp32/b1/c1"] / values["torch-cpu-fp32/b1/c1"]
    assert abs(float(onnx.text.removesuffix("×")) - ratio) < 0.01
    assert onnx.tone == "good" and onnx.range
    assert rows[-1]["triton-http-onnxruntime"].text == "failed"
    invalid = tuple(replace(r, valid=r.point != "triton-grpc-onnxruntime/b1/c2") for r in cpu.rows)
    assert (
        cells(speedup_table(replace(cpu, rows=invalid)))[1]["triton-grpc-onnxruntime"].text
        == "invalid"
    )
    fewer = tuple(r for r in cpu.rows if r.point != "onnxruntime-cpu-fp32/b1/c2")
    assert (
        cells(speedup_table(replace(cpu, rows=fewer)))[1]["onnxruntime-cpu-fp32"].text
        == "not measured"
    )
    assert not speedup_table(replace(cpu, reference=None))


@pytest.mark.parametrize("of", ["cpu", "variants"])
def test_the_coloured_ratios_of_the_table_are_counted(
    of: str, request: pytest.FixtureRequest
) -> None:
    """And how many would be by chance; of the table, not of configurations that it leaves out."""
    table = speedup_table(request.getfixturevalue(of))
    assert table is not None
    ratios = [c for row in table.rows for c in row[2:] if c.text.endswith("×")]
    coloured = sum(c.tone in ("good", "bad") for c in ratios)
    said = f"{coloured} of {len(ratios)} ratios are coloured; if all were equal, about "
    assert ratios and f"{said}{0.05 * len(ratios):.1f} would be by chance." in table.notes[0]


def test_latency_has_the_reference_too(cpu: Context) -> None:
    rows = cells(latency_table(cpu))
    assert list(rows[0]) == ["Batch", "Concurrency", *cpu.shown]
    assert rows[0]["torch-cpu-fp32"].text != "n/a"


def test_a_file_that_a_resumed_run_found_again_stands_once(cpu: Context) -> None:
    again = ArtifactRow("onnx", "cache/ab/model.onnx", 102_174_310, 0.0, True)
    events = (*cpu.data.events, again.to_event())
    rows = cells(size_table(replace(cpu, data=replace(cpu.data, events=events))))
    assert [r["Format"].text for r in rows] == ["state_dict", "onnx"]
    assert rows[1]["Exporter"].range == "fallback: torch.export: op not known"
    assert (rows[1]["Size on disk (MiB)"].text, rows[1]["From cache"].text) == ("97.4", "no")
    assert not size_table(replace(cpu, data=replace(cpu.data, events=())))


def test_loading_is_over_the_rounds_and_memory_the_largest(cpu: Context, gpu: Context) -> None:
    row = cells(load_table(cpu))[0]
    assert row["Backend"].text == "torch-cpu-fp32"
    assert row["Load time (s)"].range  # three rounds
    peak = max(r.host_memory_mib or 0 for r in cpu.of("torch-cpu-fp32"))
    assert row["Host memory, peak (MiB)"].text == f"{peak:.0f}"
    assert "GPU memory, peak (MiB)" not in row
    assert "GPU memory, peak (MiB)" in cells(load_table(gpu))[0]


def test_the_version_that_was_measured_is_said_with_those_that_it_was_not(cpu: Context) -> None:
    assert "Model version" not in cells(load_table(cpu))[0]
    first, *others = cpu.data.loads
    said = replace(first, details={"model_version": "3", "model_versions": "1, 3"})
    events = tuple(said if e is first else e for e in cpu.data.events if e not in others)
    (row,) = cells(load_table(replace(cpu, data=replace(cpu.data, events=events))))
    assert row["Model version"].text == "3 of 1, 3"


def test_the_intro_names_the_reference(cpu: Context) -> None:
    def said(context: Context) -> str:
        intro, *_ = section(context).blocks
        assert isinstance(intro, Text)
        return intro.text

    assert said(cpu) == "The reference is torch-cpu-fp32: eager PyTorch in fp32."
    assert "first backend, torch-cpu-fp32" in said(replace(cpu, reference_is_eager=False))
    empty = build_context(replace(cpu.data, events=()))
    assert said(empty) == "Nothing was measured, so there is nothing to compare."
    titles = [b.title for b in section(cpu).blocks if isinstance(b, TableBlock)]
    assert titles == ["Speed-up", "Median latency (ms)", "Size on disk", "Loading and memory"]


def test_where_the_reference_is_invalid_the_table_says_why_it_has_no_ratio(cpu: Context) -> None:
    def note(context: Context) -> str:
        table = speedup_table(context)
        assert table is not None
        return table.notes[0]

    why = "n/a: the reference failed, is invalid or was not measured there."
    whole = tuple(r for r in cpu.rows if r.concurrency == 1 and r.batch_size == 1)
    assert why not in note(replace(cpu, rows=whole))
    lost = tuple(replace(r, valid=r.backend != "torch-cpu-fp32") for r in whole)
    assert why in note(replace(cpu, rows=lost))
