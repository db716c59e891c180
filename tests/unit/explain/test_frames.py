"""DataFrames: every column has its type, whatever a run holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from support.synthetic_run import write_all_failed, write_bare

from harness.explain.frames import TYPES, measurements_frame, summary_frame
from harness.report.model.context import Context, build_context
from harness.report.outputs.csv import MEASUREMENTS, SUMMARY
from harness.results.store import read_run


def test_types_are_the_same_in_every_run(cpu: Context, gpu: Context, tmp_path: Path) -> None:
    others = [write_bare(tmp_path / "bare"), write_all_failed(tmp_path / "failed")]
    contexts = [cpu, gpu, *(build_context(read_run(path)) for path in others)]
    for make, columns in (
        (summary_frame, SUMMARY), (measurements_frame, MEASUREMENTS)
    ):  # fmt: skip
        frames = [make(context) for context in contexts]
        assert [*frames[0].columns] == [*columns]
        assert all((frame.dtypes == frames[0].dtypes).all() for frame in frames)
    assert set(TYPES) <= {*SUMMARY, *MEASUREMENTS}


def test_numbers_are_those_of_the_rows(gpu: Context) -> None:
    frame = summary_frame(gpu).set_index("point")
    row = next(r for r in gpu.rows if r.throughput is not None)
    assert row.throughput is not None
    assert frame.loc[row.point, "throughput_low"] == row.throughput.low
    assert frame.loc[row.point, "batch_size"] == row.batch_size
    rounds = measurements_frame(gpu)
    assert len(rounds) == sum(len(r.measurements) for r in (*gpu.rows, *gpu.searched))
    assert isinstance(rounds["started"].dtype, pd.DatetimeTZDtype)


@pytest.mark.parametrize("column", ["gpu_memory_mib", "request_rate"])
def test_what_was_not_measured_is_missing(cpu: Context, column: str) -> None:
    assert measurements_frame(cpu)[column].isna().all()
