"""Each configuration: Model Analyzer's plots, what served it, what is folded away."""

from __future__ import annotations

import pytest
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.report.model.blocks import Table
from harness.report.model.context import Context, build_context
from harness.report.model.section import Charts, Code, Difference, Part, TableBlock, Text
from harness.report.sections.configurations import detail_charts, performance_charts, section
from harness.report.sections.points import detail_table
from harness.report.view import build_view
from harness.results.store import read_run

SIZES = (1, 2, 4, 8)


def parts(context: Context) -> dict[str, Part]:
    found = section(context)
    assert found is not None
    return {part.name: part for part in found.parts}


def test_each_page_has_its_config_and_what_differs(variants: Context) -> None:
    details = parts(variants)
    default = details["default"]
    assert not [b for b in default.blocks if isinstance(b, Difference)]
    (config,) = (b for b in default.blocks if isinstance(b, Code))
    assert "instance_group" in config.text
    assert (config.title, config.summary) == (
        "config.pbtxt", "config.pbtxt as the server had it",
    )  # fmt: skip
    (other,) = (b for b in details["i2-dyn"].blocks if isinstance(b, Difference))
    changed = [(line.sign, line.text.strip()) for line in other.lines if line.sign in "+-"]
    assert changed == [
        ("-", "count: 1"), ("+", "count: 2"), ("+", "dynamic_batching {"), ("+", "}"),
    ]  # fmt: skip
    assert {n for n, d in details.items() if d.folded} == {
        s for s in variants.series if s not in variants.shown
    }


def test_the_recommended_one_comes_first(variants: Context, gpu: Context) -> None:
    for context in (variants, gpu):
        take = context.choice.recommended or context.choice.best
        assert take is not None and next(iter(parts(context))) == context.name(take)


def test_charts_of_folded_configurations_are_not_in_the_pdf(variants: Context) -> None:
    view = build_view(variants)
    ids = {c.id for c in view.all_charts()}
    blocks = [b for part in parts(variants).values() if part.folded for b in part.blocks]
    folded = {c.id for b in blocks if isinstance(b, Charts) for c in b.charts}
    assert folded and not folded & ids
    assert folded <= {c.id for c in view.folded_charts()}


def test_settings_and_what_was_measured_are_said_and_problems_stand_on_the_screen(
    cpu: Context,
) -> None:
    found = parts(cpu)["triton-http-onnxruntime"]
    said, *rest = found.blocks
    assert isinstance(said, Text)
    assert said.text.startswith("kind triton, protocol http, serve onnxruntime, device cpu, ")
    assert "; 2 CPU instances" in said.text
    rows = cpu.of("triton-http-onnxruntime")
    assert f"{sum(r.rounds for r in rows)} measurements with " in said.text
    problems = [b for b in rest if isinstance(b, TableBlock) and b.title.startswith("What")]
    assert {b.only for b in problems} == {"screen"}


def test_latency_parts_add_up_to_the_client_latency(cpu: Context) -> None:
    """Each is a mean over the rounds, so their sum is the mean of the rounds' latencies."""
    (chart, *_) = performance_charts(cpu, "triton-grpc-onnxruntime")
    bars = [s for s in chart.series if s.mode == "bar"]
    assert [s.name for s in bars] == [
        "Server Queue", "Compute Input", "Compute Infer", "Compute Output", "Client and network",
    ]  # fmt: skip
    rows = [r for r in cpu.of("triton-grpc-onnxruntime") if r.batch_size == 1]
    for i, row in enumerate(rows):
        rounds = [m.latency_mean_ms for m in row.measurements if m.latency_mean_ms is not None]
        assert len(rounds) == len(row.measurements) > 1
        assert sum(s.y[i] for s in bars) == pytest.approx(sum(rounds) / len(rounds))
    line = chart.series[-1]
    assert line.right
    assert line.y == tuple(r.throughput.value for r in rows if r.throughput)


def test_without_a_server_there_is_one_bar(cpu: Context) -> None:
    (chart, *_) = performance_charts(cpu, "torch-cpu-fp32")
    assert [s.name for s in chart.series if s.mode == "bar"] == ["Mean latency"]


def test_offline_has_model_analyzers_plots_and_first_column(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    run = write_run(
        tmp_path_factory.mktemp("offline") / "r", backends=CPU_BACKENDS[3:], concurrency=(1,),
        batch_sizes=SIZES, failures=False,
    )  # fmt: skip
    offline = build_context(read_run(run))
    name = "triton-grpc-onnxruntime"
    performance, throughput, latency = detail_charts(offline, name)
    assert performance.title == "Offline Performance"
    assert performance.ticks == tuple(map(str, SIZES))
    assert throughput.title == "Throughput vs. Batch Size"
    assert latency.title == "p90 Latency vs. Batch Size"
    table: Table = detail_table(offline, name)
    assert [h.text for h in table.headers][:2] == ["Batch", "p50 latency (ms)"]
    assert [row[0].text for row in table.rows] == list(map(str, SIZES))


def test_of_very_many_configurations_the_best_have_a_part_and_the_others_are_counted(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.sections.configurations.MOST_TOLD", 3)
    found = section(cpu)
    assert len(found.parts) == 3 < len(cpu.series)
    assert "the best 3 of 4 configurations" in found.blocks[-1].text
    monkeypatch.setattr("harness.report.model.context.MOST_ROWS", 3)
    monkeypatch.setattr("harness.report.sections.configurations.MOST_OF_VAST", 2)
    assert len(section(cpu).parts) == 2, "of more points than anyone looks at fewer"
