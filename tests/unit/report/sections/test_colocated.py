"""Several models on one server, in the report and its CSV file."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.rows import measurement
from support.synthetic_run import _manifest

from harness.report.model.context import Context, build_context
from harness.report.model.labels import bounds_text, objective_text
from harness.report.outputs.csv import write_csvs
from harness.report.outputs.html import render_html
from harness.report.sections.answer import answer
from harness.report.sections.colocated import colocated_table, together_table
from harness.report.sections.summary import facts
from harness.report.view import build_view
from harness.results.events import RunEnded
from harness.results.rows import LoadedRow, MeasurementRow
from harness.results.store import RunStore, read_run
from harness.scenario.points import Point
from harness.scenario.reading.loader import load_text

SCENARIO = """\
scenario: s
model: {name: net, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - &t
    kind: triton
    protocol: grpc
    serve: torch
    name: pair
    colocated:
      name: det
      model: {source: {torch: package.module:other}, inputs: {name: y, shape: [batch, 3]}}
      instances: [1, 2]
      load: {request_rate: 20}
      constraints: {latency_p50_ms: {max: 50}}
      weight: 1
  - {<<: *t, name: alone, colocated: []}
"""
CONFIG = """\
name: "det"
backend: "python"
max_batch_size: 1
instance_group {
  count: 2
  kind: KIND_CPU
}
"""
SPEEDS = {
    ("pair", "default"): (100, 10),
    ("pair", "det.i2"): (90, 20),
    ("alone", "default"): (150, 0),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rounds: with two instances the co-located model does nearly twice as much."""
    path = tmp_path_factory.mktemp("colocated") / "r"
    scenario = load_text(SCENARIO).model_dump(mode="json")
    with RunStore.create(path, _manifest(scenario, gpu=False, evil=False)) as store:
        for n, wobble in enumerate((1.0, 1.01, 0.99)):
            for (backend, config), speeds in SPEEDS.items():
                others = {"colocated": {"det": {"config": CONFIG}}} if speeds[1] else {}
                details: dict[str, Any] = {"config": CONFIG.replace("det", "net"), **others}
                store.append(LoadedRow(backend, n, 1, 1, 1, 1, None, details, config))
                store.append(_row(backend, config, n, *(v * wobble for v in speeds)))
        store.append(RunEnded("complete"))
    return path


def _row(backend: str, config: str, n: int, speed: float, det: float) -> MeasurementRow:
    point = Point(backend, config, 1, concurrency=1)
    facts = {
        "load": {"batch_size": 1, "concurrency": None, "request_rate": 20.0}, "throughput": det,
        "latency_ms": {"p50": 1000 / max(det, 1), "p99": None}, "requests": 30, "errors": 0,
        "flags": [],
    }  # fmt: skip
    return measurement(
        point=point.id, round=n, backend=backend, config=config, window_end_ns=10**9, requests=100,
        throughput=speed, latency_mean_ms=1000 / speed, latency_ms={"p50": 1000 / speed},
        host_memory_mib=100.0, details={"colocated": {"det": facts}} if det else {},
    )  # fmt: skip


@pytest.fixture(scope="module")
def context(run: Path) -> Context:
    return build_context(read_run(run))


def texts(table: Any) -> list[dict[str, str]]:
    heads = [h.text for h in table.headers]
    return [dict(zip(heads, (c.text for c in row), strict=True)) for row in table.rows]


def test_each_model_has_its_row_and_what_is_shared_is_said(context: Context) -> None:
    found = colocated_table(context, context.of("pair/det.i2"))
    assert found is not None
    (row,) = texts(found)
    assert (row["Co-located model"], row["Its load"], row["Its constraints"]) == (
        "det",
        "20/s",
        "not shown",
    )
    assert row["Throughput (infer/s)"] == "20.0"
    assert found.notes[0].startswith("det: 2 CPU instances with a max batch size of 1")
    assert "of all its models together" in found.notes[1]
    assert not colocated_table(context, context.of("alone"))


def test_alone_stands_against_together(context: Context) -> None:
    found = together_table(context)
    assert found is not None
    rows = texts(found)
    # in every round the same, so there is no width to round to
    assert [(r["Configuration"], r["Throughput kept"]) for r in rows] == [
        ("pair/default", "0.6667"), ("pair/det.i2", "0.6000"),
    ]  # fmt: skip


def test_the_answer_and_the_facts_name_the_model_colocated(context: Context) -> None:
    assert bounds_text(context.bounds) == "det beside it, det's p50 latency ≤ 50 ms"
    assert objective_text(context.objective) == (
        "balancing throughput (weight 1) and det's throughput (weight 1)"
    )
    said = " ".join(map(str, answer(context)))
    assert "no point is shown to hold every constraint" in said
    assert "det's p50 latency" in said
    assert dict(facts(context))["Co-located models"] == "det (batch 1, load 20/s)"


def test_the_best_pair_is_told_with_both_configurations(context: Context) -> None:
    from harness.analysis.best import choose

    loose = {"colocated/det/present": {"min": 1}}
    choice = choose(context.rows, context.objective, loose)
    said = " ".join(map(str, answer(dataclasses.replace(context, bounds=loose, choice=choice))))
    assert "pair/det.i2" in said
    assert "det: 2 CPU instances" in said


def test_html_and_csv_have_them(context: Context, tmp_path: Path) -> None:
    html = render_html(build_view(context))
    for text in ("Co-located models", "Alone and together", "config.pbtxt of det"):
        assert text in html
    files = {p.name: p for p in write_csvs(context, tmp_path)}
    with files["colocated.csv"].open() as file:
        rows = list(csv.DictReader(file))
    assert [(r["point"], r["model"], r["holds_constraints"]) for r in rows] == [
        ("pair/b1/c1", "det", "no"), ("pair/det.i2/b1/c1", "det", "unknown"),
    ]  # fmt: skip
    assert float(rows[0]["throughput_low"]) < 10 < float(rows[0]["throughput_high"])
