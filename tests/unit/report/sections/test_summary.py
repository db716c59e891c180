"""What a reader sees first: title, facts, banners, the best points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_run import CPU_BACKENDS, write_all_failed, write_bare, write_run

from harness.errors import words_of
from harness.report.charts.lines import summary_charts
from harness.report.model import labels
from harness.report.model.context import Context, build_context
from harness.report.model.section import Charts, Masthead, Prose, TableBlock, Text, Verdict
from harness.report.sections.summary import banners, choice_section, facts, section, title
from harness.results.rows import MeasurementRow
from harness.results.store import read_run

SIZES = (1, 2, 4, 8)


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Context:
    run = write_run(
        tmp_path_factory.mktemp("offline") / "r", batch_sizes=SIZES, concurrency=(1,),
        failures=False, constraints={"throughput": {"min": 30}},
    )  # fmt: skip
    return build_context(read_run(run))


def test_title_is_what_page_1_says(cpu: Context, tmp_path: Path) -> None:
    assert title(cpu) == "resnet50: take onnxruntime-cpu-fp32, batch 4 · 2 callers"
    failed, bare = write_all_failed(tmp_path / "failed"), write_bare(tmp_path / "bare")
    assert title(build_context(read_run(failed))).endswith(": nothing can be recommended")
    assert title(build_context(read_run(bare))).endswith(": nothing was measured")


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


def test_the_command_that_finishes_a_run_names_its_path(tmp_path: Path) -> None:
    run = write_run(tmp_path / "my run", backends=CPU_BACKENDS[:1], complete=False)
    banner = banners(build_context(read_run(run)))[0]
    assert f"harness run --resume '{run}'; " in banner
    merged = replace(found := read_run(run), manifest={**found.manifest, "shards": []})
    banner = banners(build_context(merged))[0]
    assert "--resume" not in banner and "merge all shards again; " in banner  # resume refuses it


def test_failures_are_a_banner(cpu: Context) -> None:
    (failed,) = banners(cpu)
    assert failed.startswith("2 points could not be measured in every round (")
    assert words_of(next(r for r in cpu.rows if r.failures).failures[0].reason) in failed


def test_facts_name_the_hardware_and_the_sweep(cpu: Context, gpu: Context) -> None:
    found = dict(facts(cpu))
    assert found["Host memory"] == "7.8 GiB" and "Total Available GPU Memory" not in found
    assert found["Sweep"] == ("4 configurations, batch 1, 4, concurrency 1, 2, 4, 2 to 3 rounds")
    assert dict(facts(gpu))["Total Available GPU Memory"] == "79.6 GiB"
    assert dict(facts(gpu))["Constraint targets"] == "p99 latency ≤ 20 ms"


def test_page_1_is_title_verdict_chart_and_table(cpu: Context) -> None:
    first, *_, verdict, charts, words = section(cpu).blocks
    assert isinstance(first, Masthead) and first.title == title(cpu)
    assert isinstance(verdict, Verdict) and verdict.entries[0][0] == "TAKE"
    assert isinstance(charts, Charts) and charts.beside is not None
    assert len(charts.beside.rows) == 4
    assert isinstance(words, Text) and words.text.startswith("Words. point: ")


def test_each_constraint_has_its_sign_in_the_short_pdf_too(gpu: Context, cpu: Context) -> None:
    blocks = choice_section(gpu).settled(full=False).blocks
    (kept,) = (b.table for b in blocks if isinstance(b, TableBlock) and b.only != "screen")
    bounds = [labels.bound_text(name, bound) for name, bound in gpu.bounds.items()]
    places = [[header.text for header in kept.headers].index(bound) for bound in bounds]
    signs = {row[place].text[0] for row in kept.rows for place in places}
    assert signs <= {"✓", "✗", "?"} and "✓" in signs
    assert len(kept.rows) == len(gpu.series)
    free = choice_section(replace(cpu, bounds={})).blocks
    assert "Constraints" not in [b.title for b in free if isinstance(b, TableBlock)]


def test_how_the_choice_was_made_ends_with_the_best_points(cpu: Context) -> None:
    *_, best = choice_section(cpu).blocks
    assert isinstance(best, TableBlock) and len(best.table.rows) == 4
    assert [b.style for b in choice_section(cpu).blocks if isinstance(b, Prose)] == ["answer"]


def test_an_empty_run_has_a_summary(tmp_path: Path) -> None:
    *_, last = section(build_context(read_run(write_bare(tmp_path / "r")))).blocks
    assert isinstance(last, Text) and last.text == "No point was measured."


def test_points_that_were_measured_and_are_invalid_are_not_called_unmeasured(cpu: Context) -> None:
    events = tuple(
        replace(e, flags=("no_steady_state",)) if isinstance(e, MeasurementRow) else e
        for e in cpu.data.events
    )
    none = build_context(replace(cpu.data, events=events))
    said = " ".join(str(block) for block in section(none).blocks)
    assert "Nothing can be recommended" in said
    assert "No point was measured" not in said
