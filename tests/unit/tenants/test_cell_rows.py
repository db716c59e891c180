"""Rows of a cell from samples of which everything is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.shared import scenario

from harness.measure.window import Window
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import Samples
from harness.run.session.session import Session
from harness.run.worker.messages import ModelPrepared, PointMeasured
from harness.tenants.cell_rows import Taken, cell_point, cell_rows, merged
from harness.tenants.design import Cell, design
from harness.tenants.seating import scenario_of

MS = 1_000_000
MODEL = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())


def samples(count: int, every_ms: float, caller: int = 0) -> Samples:
    """Requests one after another, each of which takes `every_ms`."""
    done = (np.arange(1, count + 1) * every_ms * MS).astype(np.int64)
    sent = done - round(every_ms * MS)
    status, callers = np.zeros(count, np.uint8), np.full(count, caller, np.uint16)
    return Samples(sent, sent, done, status, callers, {"slow": 1})


def taken(cell: Cell, parts: list[Samples]) -> Taken:
    window = Window(0, 1000 * MS, False)
    answers = [PointMeasured(window, {}, 0, (), 12) for _ in parts]
    return Taken(cell, 0, "2026-01-02T03:04:05+00:00", answers, parts, {})


def sessions_of(tmp_path: Path) -> dict[str, Session]:
    found, telemetry = scenario(), Any
    assert found.sharing is not None
    made = {}
    for tenant in found.sharing.tenants:
        own = scenario_of(found, tenant)
        made[tenant.name] = Session(
            own, own.backends[0], {"": ModelPrepared(MODEL, Path(), ())}, base=tmp_path,
            logs=tmp_path / "logs", stem="r0", cache=tmp_path, telemetry=telemetry,  # type: ignore[arg-type]
        )  # fmt: skip
    return made


def test_the_row_of_all_has_the_requests_of_all(tmp_path: Path) -> None:
    found = scenario().sharing
    assert found is not None
    cell = design(found).together["time_slicing"]
    parts = [samples(500, 2.0), samples(200, 5.0)]
    rows = cell_rows(taken(cell, parts), sessions_of(tmp_path), ["a.parquet", "b.parquet"])
    assert [row.point for row in rows] == [cell.id, f"{cell.id}/a", f"{cell.id}/b"]
    assert [row.throughput for row in rows] == pytest.approx([700.0, 500.0, 200.0], rel=0.01)
    assert rows[0].requests == rows[1].requests + rows[2].requests
    assert [row.latency_ms["p50"] for row in rows] == pytest.approx([2.0, 2.0, 5.0])
    assert (rows[0].concurrency, rows[1].samples) == (3, "a.parquet")


def test_a_tenant_alone_has_one_row(tmp_path: Path) -> None:
    found = scenario().sharing
    assert found is not None
    cell = design(found).alone["a"]
    (row,) = cell_rows(taken(cell, [samples(500, 2.0)]), sessions_of(tmp_path), ["a.parquet"])
    assert (row.point, row.backend, row.concurrency) == ("dedicated/a@c2", "a", 2)


def test_samples_are_merged_in_order_with_callers_of_their_own() -> None:
    found = merged([samples(3, 2.0), samples(2, 3.0)])
    assert list(found.done // MS) == [2, 3, 4, 6, 6]
    assert sorted(set(found.caller.tolist())) == [0, 1]
    assert found.messages == {"slow": 2}
    assert len(merged([samples(0, 1.0), samples(2, 3.0)])) == 2


def test_open_loops_make_an_open_point() -> None:
    found = scenario(tenants=(
        {"name": "a", "load": {"request_rate": 10.0}}, {"name": "b", "load": {"concurrency": 1}},
    )).sharing  # fmt: skip
    assert found is not None
    point = cell_point(design(found).together["time_slicing"])
    assert (point.concurrency, point.request_rate) == (None, 10.0)
