"""Offline mode: batch sizes swept at concurrency 1, with Model Analyzer's titles and columns."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.synthetic_run import CPU_BACKENDS, write_all_failed, write_run

from harness.report.charts.lines import summary_charts
from harness.report.model.context import Context, build_context
from harness.report.sections.configurations import detail_charts
from harness.report.sections.points import detail_table
from harness.report.view import build_view
from harness.results.store import read_run

SIZES = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Context:
    run = write_run(
        tmp_path_factory.mktemp("offline") / "r", batch_sizes=SIZES, concurrency=(1,),
        failures=False, constraints={"throughput": {"min": 30}},
    )  # fmt: skip
    return build_context(read_run(run))


def test_title_says_the_mode(offline: Context, cpu: Context) -> None:
    assert build_view(offline).title == "Offline Result Summary"
    assert build_view(cpu).title == "Online Result Summary"


@pytest.mark.parametrize(("batches", "callers"), [((1,), (1,)), ((1, 4), (1, 2))])
def test_other_sweeps_are_online(
    tmp_path: Path, batches: tuple[int, ...], callers: tuple[int, ...]
) -> None:
    run = write_run(
        tmp_path / "r", backends=CPU_BACKENDS[:1], batch_sizes=batches, concurrency=callers
    )
    assert not build_context(read_run(run)).offline
    assert not build_context(read_run(write_all_failed(tmp_path / "failed"))).offline


def test_summary_is_against_batch_size(offline: Context) -> None:
    throughput, latency, memory = summary_charts(offline)
    assert throughput.title == "Throughput vs. Batch Size"
    assert latency.title == "p90 Latency vs. Batch Size"  # the largest batch is too slow for p99
    assert any("p99 needs 662 requests" in note for note in latency.notes)
    assert memory.title == "Host Memory vs. Batch Size"
    assert throughput.ticks == tuple(map(str, SIZES))
    assert [(b.axis, b.value) for b in throughput.bounds] == [("y", 30.0)]
    for series in throughput.series:
        rows = offline.of(series.name)
        assert series.x == (0.0, 1.0, 2.0, 3.0)
        assert series.y == tuple(r.throughput.value for r in rows if r.throughput)


def test_a_configuration_has_model_analyzers_plots_and_first_column(offline: Context) -> None:
    name = "triton-grpc-onnxruntime"
    performance, throughput, latency = detail_charts(offline, name)
    assert performance.title == "Offline Performance"
    assert performance.ticks == tuple(map(str, SIZES))
    assert throughput.title == "Throughput vs. Batch Size"
    assert latency.title == "p90 Latency vs. Batch Size"
    table = detail_table(offline, name)
    assert [h.text for h in table.headers][:2] == ["Client Batch Size", "p50 Latency (ms)"]
    assert [row[0].text for row in table.rows] == list(map(str, SIZES))
