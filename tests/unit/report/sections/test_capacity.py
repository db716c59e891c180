"""A run with a capacity search against a simulated queue, in every format."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support import simulated_queue
from support.packed import unpacked
from support.rows import capacity

from harness.analysis.capacity import summarize_capacity
from harness.analysis.verdict import Verdict, verdict
from harness.report.build import build_report
from harness.report.model import labels
from harness.report.model.context import build_context
from harness.report.model.numbers import both_text, value_text
from harness.report.model.section import TableBlock
from harness.report.outputs.html import render_html
from harness.report.outputs.terminal import terminal_summary
from harness.report.sections.answer import answer
from harness.report.sections.capacity import capacities, headline, line, section
from harness.report.sections.summary import banners, facts, title
from harness.report.view import build_view
from harness.results.events import RunEnded
from harness.results.rows import CapacityRow, MeasurementRow
from harness.results.samples import write_samples
from harness.results.store import RunStore, read_run
from harness.run.capacity import LatencyTarget, find_capacity
from harness.scenario.points import Point
from harness.scenario.spec.load import FindCapacity

CALIBRATION = {
    "schema_version": 2, "scenario": "aa", "created": "2026-03-04T10:11:12+00:00", "rounds": 10,
    "runs": 4, "drifts": {}, "spread": {"p99": {"round": 0.01, "run": 0.02}},
    "halves": {"false_alarms": 3, "comparisons": 40, "detectable": {"throughput": 0.03}},
    "between": {"false_alarms": 9, "comparisons": 60, "detectable": {"p99": "inf"}},
}  # fmt: skip


def search(store: RunStore, point: Point, round_: int) -> CapacityRow:
    settings = FindCapacity.model_validate({"latency_p99_ms": 30.0})

    def measure(sub: Point, _: object):
        row, samples = simulated_queue.measure(sub, round_, 4.0, 6.0, seed=round_)
        name = f"samples/{sub.id.replace('/', '--')}--r{round_}.parquet"
        row = replace(row, samples=name, details={**row.details, "search": point.id})
        write_samples(store.path / name, samples, {})
        store.append(row)
        return row, samples

    found = find_capacity(point, settings, round_, measure)
    store.append(found)
    return found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("capacity") / "run"
    scenario = {
        "scenario": "queue", "backends": [{"kind": "fake", "name": "fake"}],
        "load": {"batch_sizes": [1]}, "measurement": {"rounds": 2},
    }  # fmt: skip
    with RunStore.create(path, {"scenario": scenario, "calibration": CALIBRATION}) as store:
        point = Point("fake", "default", 1, shape="find_capacity")
        for round_ in range(2):
            search(store, point, round_)
        store.append(RunEnded("complete"))
    return path


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return render_html(build_view(build_context(read_run(run))))


def test_capacity_is_the_same_in_every_format(run: Path, html: str, tmp_path: Path) -> None:
    from rich.console import Console

    build_report(run, output=tmp_path, formats=("csv",))
    (line,) = pd.read_csv(tmp_path / "capacity.csv").to_dict("records")
    assert line["rate_low"] <= line["rate"] <= line["rate_high"]
    assert line["limit"] == "target"
    console = Console(width=200, record=True, file=(tmp_path / "out").open("w"))
    console.print(terminal_summary(read_run(run)))
    said = console.export_text()
    (found,) = summarize_capacity(read_run(run).capacities)
    assert line["rate"] == pytest.approx(found.rate.value)
    assert f"capacity of fake, batch 1, p99 ≤ 30 ms: {both_text(found.rate)} requests/s" in said
    section = html[html.index('id="capacity"') :]
    assert f">{value_text(found.rate)}<" in section
    assert "Limited by" in section
    assert "the latency target" in section


@pytest.mark.parametrize(("searched", "code"), [(True, 0), (False, 4)])
def test_invalid_rates_of_a_search_do_not_make_the_run_invalid(
    run: Path, searched: bool, code: int
) -> None:
    data = read_run(run)
    details = {"search": "fake/b1/find_capacity"} if searched else {}
    events = [
        replace(e, flags=("client_late",), details=details) if isinstance(e, MeasurementRow) else e
        for e in data.events
    ]
    assert verdict(replace(data, events=tuple(events))).code == code


@pytest.mark.parametrize(("change", "code"), [({"rate": None}, 5), ({"limit": "client"}, 4)])
def test_exit_code_of_a_search_without_an_answer(run: Path, change: dict, code: int) -> None:
    data = read_run(run)
    events = [replace(e, **change) if isinstance(e, CapacityRow) else e for e in data.events]
    assert verdict(replace(data, events=tuple(events))).code == code


@pytest.mark.parametrize(("limit", "helps"), [("client", "client_processes"),
                                              ("max_rate", "a higher one")])  # fmt: skip
def test_an_answer_that_is_not_the_servers_says_what_would_tell(run, limit, helps) -> None:
    data = read_run(run)
    events = [replace(e, limit=limit) if isinstance(e, CapacityRow) else e for e in data.events]
    (summary,) = summarize_capacity([e for e in events if isinstance(e, CapacityRow)])
    assert helps in line("fake", summary)


def test_every_point_has_a_fold_with_its_charts(html: str, run: Path) -> None:
    points = {m.point for m in read_run(run).measurements}
    figures = unpacked(html, "folded")
    for index, point in enumerate(sorted(points)):
        assert re.search(f'<details class="[^"]*" id="{point}">', html)
        assert figures[f"explain-{index}-time"]["layout"]["shapes"]
        assert figures[f"explain-{index}-ecdf"]["data"][0]["mode"] == "lines"
    assert f"explain-{len(points)}-time" not in figures
    assert "Raw samples: samples/fake--b1--c1--r0.parquet" in html


def test_rates_that_were_tried_are_in_the_capacity_section_only(run: Path, tmp_path: Path) -> None:
    context = build_context(read_run(run))
    assert {r.point for r in context.searched} == {m.point for m in read_run(run).measurements}
    assert not context.rows and not context.ranks and context.choice.best is None
    build_report(run, output=tmp_path, formats=("csv",))
    assert len(pd.read_csv(tmp_path / "summary.csv")) == 0
    assert len(pd.read_csv(tmp_path / "metrics-model-inference.csv")) == 0
    assert len(pd.read_csv(tmp_path / "measurements.csv")) == len(read_run(run).measurements)
    (sentence,) = answer(context)
    rate = both_text(summarize_capacity(read_run(run).capacities)[0].rate)
    assert str(sentence).startswith(
        f"fake (batch 1) holds: {rate} requests/s at p99 ≤ 30 ms, goodput "
    )
    found = section(context)
    assert found is not None
    rates = found.blocks[-1]
    assert isinstance(rates, TableBlock) and rates.only == "print"
    assert len(rates.table.rows) == len(context.searched) - 1  # not c1


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ((400.0, 405.0), "b (batch 1) holds the most: 40"),
        ((80.0, 81.0), "It can't be told apart from "),
        ((None, None), "Goodput of the others: b (batch 1) n/a."),
    ],
)
def test_the_answer_of_capacities_compares_by_intervals(
    run: Path, rates: tuple[float | None, float | None], said: str
) -> None:
    """Of `a`, at 80 and 82 requests/s, and `b`."""
    rows = [capacity(round=n, rate=80.0 + 2 * n, goodput=80.0 + 2 * n) for n in range(2)]
    rows += [
        capacity(round=n, backend="b", point="b/b1/find_capacity", rate=r, goodput=r)
        for n, r in enumerate(rates)
    ]
    data = read_run(run)
    kept = [e for e in data.events if not isinstance(e, CapacityRow)]
    context = build_context(replace(data, events=(*kept, *rows)))
    (sentence,) = answer(context)
    assert said in str(sentence)
    assert ("the most" in str(sentence)) is (rates[0] != 80.0)


def test_what_answers_wrongly_is_no_answer_in_any_output(run: Path, tmp_path: Path) -> None:
    """Not the most, not told apart from, not fine: its answers are of no use at any rate."""
    data = read_run(run)
    found = [
        replace(e, flags=("wrong_outputs",)) if isinstance(e, MeasurementRow) and e.round else e
        for e in data.events
    ]
    data = replace(data, events=tuple(found))
    assert verdict(data) is Verdict.INVALID
    context = build_context(data)
    assert headline(context) == "no rate holds the target"
    page = render_html(build_view(context))
    first = page[page.index("TAKE") :][:2000]
    assert "its outputs are wrong" in first and "Wrong outputs: fake (batch 1)" in first
    assert line("fake", *capacities(context)).endswith(": none; its outputs are wrong")


def test_calibration_stands_in_the_method(html: str) -> None:
    assert "an A/A test of aa (4 runs of 10 rounds, 2026-03-04) varied" in html
    assert "a false alarm in 9 of 60 comparisons, smallest effect found p99 none" in html


def test_search_is_judged_as_in_the_run(run: Path) -> None:
    """The trials that the row keeps are those that the samples on disk give again."""
    from harness.results.samples import read_samples

    data = read_run(run)
    rows = {(m.request_rate, m.round): m for m in data.measurements}
    for found in data.capacities:
        for trial in found.details["trials"]:
            row = rows[trial["rate"], found.round]
            again = LatencyTarget("p99", 30.0, 0.05).judge(row, read_samples(run / row.samples))
            assert again["within"] == trial["within"]
            assert again["outcome"] == trial["outcome"]


def test_page_1_is_about_the_capacity(run: Path) -> None:
    """And nothing else says that no point was measured."""
    context = build_context(read_run(run))
    assert context.expected_measurements() is None or "find_capacity" not in str(context.scenario)
    view = build_view(context)
    assert {s.id for s in view.sections}.isdisjoint({"points", "comparison"})
    said = " ".join(str(block) for block in view.sections[0].blocks)
    assert "highest rate that holds p99 ≤ 30 ms · 1 search, " in said
    assert "fake (batch 1) holds: " in said
    known = dict(facts(context))
    assert known["Sweep"].startswith("1 configuration, batch 1, ")
    assert " 0 rounds" not in known["Sweep"] and "highest rate" in known["Objective"]
    assert title(context) == f"{context.model}: {headline(context)}"
    assert headline(context).startswith("fake holds ") and "p99 ≤ 30 ms" in headline(context)
    ended = replace(context, data=replace(context.data, events=tuple(
        e for e in context.data.events if not isinstance(e, RunEnded))))  # fmt: skip
    (told,) = [b for b in banners(ended) if "did not reach its end" in b]
    assert " 0 rounds" not in told and labels.rounds_text(context.searched) in told
    assert "No point was measured" not in said and "0 points" not in said


def test_two_rounds_that_are_far_apart_say_what_a_range_takes() -> None:
    """Such an interval has 15 digits, of which none helps; tables of numbers keep its ends."""
    (found,) = summarize_capacity([
        capacity(round=n, rate=rate, goodput=rate, low=rate, high=1.05 * rate,
                 details={"precision": 0.05}) for n, rate in enumerate((500.0, 1800.0))
    ])  # fmt: skip
    assert "950 (a range needs ≥ 3 more rounds) requests/s, goodput 950" in line("fake", found)
    assert found.rate is not None
    assert found.rate.low is not None
    assert 0 < found.rate.low < 1
