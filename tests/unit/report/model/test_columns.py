"""Columns that tables of points share."""

from __future__ import annotations

from harness.report.model.blocks import listing
from harness.report.model.columns import load_columns, point_columns, series_cell
from harness.report.model.context import Context


def test_a_point_is_named_by_configuration_batch_and_load(gpu: Context) -> None:
    rows = gpu.of("torch-cuda-fp16")[:2]
    found = listing(rows, point_columns(gpu, swatch=True))
    assert [h.text for h in found.headers] == ["Configuration", "Batch", gpu.load_title]
    assert [[c.text for c in row] for row in found.rows] == [
        ["torch-cuda-fp16", "1", "1"], ["torch-cuda-fp16", "1", "2"],
    ]  # fmt: skip
    assert found.rows[0][0].swatch == gpu.colors["torch-cuda-fp16"]
    assert not listing(rows, point_columns(gpu)).rows[0][0].swatch
    assert list(load_columns()) == ["Batch", "Load"]


def test_a_series_that_was_not_measured_has_no_colour(gpu: Context) -> None:
    assert series_cell(gpu, "gone").swatch == ""
