"""Variants of a model configuration: which are shown, what is said of them, how they differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_variants import NAME, VARIANTS, Variant, write_variants

from harness.report.charts.lines import summary_charts
from harness.report.model.context import Context, build_context
from harness.report.outputs.csv import write_csvs
from harness.report.sections.answer import answer
from harness.report.sections.evidence import method
from harness.report.sections.points import best_table
from harness.report.view import build_view
from harness.results.events import Best, Note, SearchEnded
from harness.results.store import read_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    limit = {"latency_p99_ms": {"max": 60.0}}
    return write_variants(tmp_path_factory.mktemp("variants") / "r", constraints=limit)


@pytest.fixture(scope="module")
def context(run: Path) -> Context:
    return build_context(read_run(run))


def test_default_comes_first_whatever_was_measured_first(context: Context) -> None:
    assert context.data.measurements[0].config != "default"
    assert context.series[0] == "default"
    assert set(context.series) == {v.name for v in VARIANTS}
    assert context.reference_series == "default"


def test_summary_shows_the_three_best_and_the_default(context: Context) -> None:
    assert set(context.shown) == {
        "default",
        "i4-mb8-dyn",
        "i2-mb8-dyn",
        "i2-dyn",
    }
    throughput, memory = summary_charts(context)
    assert {s.name for s in throughput.series} == set(context.shown)
    assert {s.name for s in memory.series} == set(context.shown)
    assert throughput.notes[0] == (
        "Curves corresponding to the 3 best model configuration(s) out of a total of 6 and to the "
        "default are shown in the plots."
    )
    assert [(b.axis, b.value) for b in throughput.bounds] == [("x", 60.0)]
    assert len(best_table(context).rows) == 6  # the table has all


def test_sentence_compares_with_the_default(context: Context) -> None:
    said = [str(s) for s in answer(context)]
    best = max(VARIANTS, key=lambda v: v.speed)
    gain = 100 * (best.speed / VARIANTS[0].speed - 1)
    assert said[0].startswith(
        f"In 54 measurements across 6 configurations, {best.name} is "
    ) or said[0].startswith(f"In 54 measurements across 6 configurations, {best.name} has ")
    assert "the default configuration (batch 1, concurrency 16)" in said[0]
    assert said[0].endswith(
        "at maximizing throughput, under the given constraints, on GPU(s) 1 × NVIDIA H100 80GB "
        "HBM3."
    )
    assert gain > 200  # so it is said in times, not in percent
    assert "times the throughput" in said[0]
    assert (
        f"{best.name}: 4 GPU instances with a max batch size of 8 on platform "
        "onnxruntime_onnx, dynamic batching enabled."
    ) in said[1]


def test_a_small_gain_is_in_percent(tmp_path: Path) -> None:
    two = (VARIANTS[0], Variant("dyn", dynamic=True))
    (first, *_) = answer(build_context(read_run(write_variants(tmp_path / "r", variants=two))))
    words = str(first).partition("dyn is ")[2]
    assert float(words.partition("%")[0]) == pytest.approx(30, abs=3)
    assert "% (" in words and " better than the default configuration" in words


def test_variants_that_are_equal_are_a_tie(tmp_path: Path) -> None:
    context = build_context(read_run(write_variants(tmp_path / "r", equal=True, noise=0.02)))
    said = " ".join(str(s) for s in answer(context))
    assert "no single best can be named" in said
    assert "can't be told apart by their 95% intervals" in said
    assert "Recommended: " in said


def test_each_page_has_its_config_and_what_differs(context: Context) -> None:
    details = {d.name: d for d in build_view(context).details}
    default = details["default"]
    assert default.difference is None
    assert "instance_group" in default.config
    other = details["i2-dyn"]
    assert other.difference is not None
    changed = [(line.sign, line.text.strip()) for line in other.difference if line.sign in "+-"]
    assert changed == [
        ("-", "count: 1"), ("+", "count: 2"), ("+", "dynamic_batching {"), ("+", "}"),
    ]  # fmt: skip
    assert [n for n, d in details.items() if not d.shown] == [
        s for s in context.series if s not in context.shown
    ]


def test_settings_are_those_that_the_server_had(context: Context, tmp_path: Path) -> None:
    rows = {r[1].text: [c.text for c in r] for r in best_table(context).rows}
    assert rows["i4-mb8-dyn"][4:7] == ["8", "Enabled", "4"]
    assert rows["default"][4:7] == ["4", "Disabled", "1"]
    (path, *_) = write_csvs(context, tmp_path)
    lines = [x.split(",") for x in path.read_text(encoding="utf-8").splitlines()[1:]]
    assert {(x[3], x[4], x[5]) for x in lines} == {
        (v.name, f"{v.instances}:GPU", str(v.max_batch)) for v in VARIANTS
    }


def test_without_the_servers_word_a_list_says_nothing(context: Context) -> None:
    bare = replace(context, configs={})
    row = bare.of("i2")[0]
    found = bare.served(row)
    assert (found.max_batch_size, found.dynamic_batching, found.instances) == ("n/a",) * 3


def test_charts_of_folded_configurations_are_not_in_the_pdf(context: Context) -> None:
    view = build_view(context)
    ids = {c.id for c in view.all_charts()}
    folded = {c.id for d in view.details if not d.shown for c in d.charts}
    assert folded and not folded & ids
    assert folded <= {c.id for c in view.folded_charts()}


def test_what_the_run_wrote_down_is_in_the_report(run: Path) -> None:
    data = read_run(run)
    left = tuple(f"{NAME}/i{n}" for n in range(5, 13))
    events = [
        Note("i4 was clipped"), Note("i4 was clipped"), SearchEnded("budget", left),
        Best(NAME, "i2-dyn", "", "best/resnet50", "best/difference.diff"),
    ]  # fmt: skip
    view = build_view(build_context(replace(data, events=(*data.events, *events))))
    assert view.notes == ("i4 was clipped",)
    assert (
        "The budget was spent before 8 configurations could be measured: i5, i6, i7, i8, i9, i10 "
        "and 2 more."
    ) in view.banners
    assert str(view.answer[-1]) == (
        "i2-dyn lies ready to serve in best/resnet50; best/difference.diff is what differs from "
        "the default."
    )
    plain = build_view(build_context(data))
    assert plain.notes == () and len(plain.answer) == len(view.answer) - 1


def test_the_method_says_that_a_search_adds_rounds(context: Context) -> None:
    said = method(context)[0]
    assert "in up to" not in said

    def with_search(rounds_max: int) -> str:
        scenario = {**context.scenario, "search": {"rounds_max": rounds_max}}
        manifest = {**context.data.manifest, "scenario": scenario}
        return method(build_context(replace(context.data, manifest=manifest)))[0]

    assert ", and in up to 10 where it might be the best config. Each round" in with_search(10)
    assert "might be the best" not in with_search(1)
