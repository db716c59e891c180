"""What leaves the harness is what the summary says, in base units."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.paths import SAMPLE

from harness.errors import UsageError
from harness.export.record import Record, record
from harness.report.model.context import build_context
from harness.results.store import RunData, read_run


@pytest.fixture(scope="module")
def data() -> RunData:
    return read_run(SAMPLE)


@pytest.fixture(scope="module")
def found(data: RunData) -> Record:
    return record(data)


def test_every_point_is_there_with_its_values(data: RunData, found: Record) -> None:
    rows = build_context(data).rows
    assert [p.name for p in found.points] == [row.point for row in rows]
    known = 0
    for point, row in zip(found.points, rows, strict=True):
        p50, memory = row.metrics["latency_p50_ms"], row.metrics["gpu_memory_mib"]
        assert ("latency_p50_seconds" in point.values) is (p50 is not None)
        if p50 is not None and p50.low is not None:
            known += 1
            assert point.values["latency_p50_seconds"] == pytest.approx(p50.value / 1e3)
            assert point.values["latency_p50_seconds_low"] == pytest.approx(p50.low / 1e3)
        assert memory is not None
        assert point.values["gpu_memory_bytes"] == memory.value * 2**20
        assert sorted(point.rounds) == sorted(m.round for m in row.measurements)
        assert all(math.isfinite(v) for v in point.values.values())
    assert known > len(rows) / 2


def test_an_invalid_point_says_so(found: Record) -> None:
    invalid = [p for p in found.points if p.tags["harness.valid"] == "false"]
    assert len(invalid) == 3  # as reports/sample/README.md has it
    assert all(p.tags["harness.flags"] for p in invalid)


def test_what_made_it_goes_with_it(found: Record) -> None:
    assert found.params["package.torch"] == "2.11.0"
    assert found.tags["harness.gpu"] == "1 × NVIDIA H200"
    assert {p.name for p in found.files} >= {"report.html", "summary.csv", "manifest.json"}
    (graphs,) = {p.params["backend.precision"] for p in found.points if "fp16" in p.name}
    assert graphs == "fp16"


def test_nothing_measured_is_nothing_to_export(data: RunData) -> None:
    with pytest.raises(UsageError, match="nothing was measured"):
        record(RunData(Path("empty"), data.manifest, ()))
