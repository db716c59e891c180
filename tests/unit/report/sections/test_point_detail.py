"""A point's fold: charts from its samples, figures by round, flags with what was seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support import simulated_queue

from harness.analysis.point_detail import Explanation, explain
from harness.report.model.context import Context, build_context
from harness.report.model.section import Charts, TableBlock, Text
from harness.report.sections.point_detail import conditions, measured, ms, section, seen
from harness.report.sections.points import points_table
from harness.results.samples import write_samples
from harness.results.store import RunData
from harness.scenario.points import Point


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> Context:
    """Two rounds of an open loop; the second says more."""
    path = tmp_path_factory.mktemp("detail")
    rows = []
    for round_ in range(2):
        point = Point("fake", "default", 1, request_rate=150.0)
        row, samples = simulated_queue.measure(point, round_, 4.0, 8.0, seed=round_)
        part = {"count": 9, "failures": 0, "inferences": 9, "executions": 3,
                "compute_infer": 2500.0}  # fmt: skip
        details = {"findings": {"client_late": "slip"}, "composing": {"part": part}}
        row = replace(row, samples=f"samples/{round_}.parquet", flags=("client_late",),
                      details=details if round_ else {}, server_us={"queue": 1500.0})  # fmt: skip
        write_samples(path / row.samples, samples, {})
        rows.append(row)
    return build_context(RunData(path, {}, tuple(rows)))


@pytest.fixture(scope="module")
def found(context: Context) -> Explanation:
    return explain(context.rows[0], context.data.path)


def test_a_point_has_a_fold_on_the_screen(context: Context) -> None:
    made = section(context)
    assert made is not None and made.screen_only
    (fold,) = made.parts
    assert fold.folded and fold.title.startswith("fake, batch 1, 150 requests/s: ")
    charts, figures, flags, files = fold.blocks
    assert isinstance(charts, Charts) and isinstance(figures, TableBlock)
    assert [c.id for c in charts.charts] == ["explain-0-time", "explain-0-ecdf"]
    assert {s.name for s in charts.charts[0].series} == {"round 1", "round 2"}
    assert charts.charts[1].series[-1].name == "over rounds"
    assert isinstance(flags, TableBlock) and flags.title == "What was flagged"
    assert isinstance(files, Text)
    assert files.text == "Raw samples: samples/0.parquet, samples/1.parquet."


def test_figures_that_no_round_has_are_left_out(found: Explanation) -> None:
    said = dict(conditions(found))
    assert said["server queue, ms"] == [1.5, 1.5]
    assert said["part compute infer, ms"] == [None, 2.5]
    assert "GPU memory, MiB" not in said and "server compute infer, ms" not in said
    assert list(said).index("slip p50, ms") < list(said).index("server queue, ms")
    assert list(said).index("part compute infer, ms") < list(said).index("requests")
    names = [name for name, *_ in measured(found)]
    assert names[:3] == ["throughput, infer/s", "mean response, ms", "p50 response, ms"]


def test_rounds_that_saw_the_same_stand_together(found: Explanation) -> None:
    assert seen(found, "client_late") == [([1], ""), ([2], "slip")]
    assert seen(found, "no_steady_state") == []


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "n/a"), (float("inf"), "> timeout"), (1234, "1,234"), (4.049, "4.05")],
)
def test_a_figure_of_one_round(value: float | None, text: str) -> None:
    assert ms(value) == text


def test_without_samples_there_are_no_charts(context: Context, tmp_path: Path) -> None:
    made = section(build_context(replace(context.data, path=tmp_path)))
    assert made is not None
    charts, *_ = made.parts[0].blocks
    assert charts == Charts(())
    assert section(build_context(replace(context.data, events=()))) is None


def test_of_very_many_points_the_best_have_details_and_the_page_says_where_the_others_are(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.report.sections.points.MOST_DETAILED", 3)
    found = section(cpu)
    best = [row.point for row in cpu.ordered[:3]]
    assert [part.id for part in found.parts] == best
    every = sum(bool(row.rounds) for row in cpu.rows)
    assert f"Here are the best 3 of {every}; it has the others." in str(found.blocks[0].text)
    links = [c.link for row in points_table(cpu).rows for c in row if c.link]
    assert links == best, "no link to details that are not there"
    monkeypatch.setattr("harness.report.model.context.MOST_ROWS", 3)
    monkeypatch.setattr("harness.report.sections.points.MOST_OF_VAST", 2)
    assert len(section(cpu).parts) == 2, "of more points than anyone looks at fewer"


def test_a_file_of_samples_that_is_gone_is_named(cpu: Context) -> None:
    """The synthetic run has none."""
    texts = [b.text for b in section(cpu).parts[0].blocks if isinstance(b, Text)]
    assert any(text.startswith("Missing or damaged: samples/") for text in texts)
