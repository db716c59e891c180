"""Power and energy in the report: what is listed and drawn, and what the sentence may claim."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from support.synthetic_run import write_run

from harness.analysis.best import order, usable
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import Chart, Table
from harness.report.model.context import Context, build_context
from harness.report.model.numbers import value_text
from harness.report.model.section import Charts, Prose, Sentence, TableBlock, Text
from harness.report.outputs.html import render_html
from harness.report.sections.energy import section
from harness.report.view import build_view
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run

WOBBLE = (1.0, 1.002, 0.998)
FRUGAL = "torch-cuda-fp16/b4/c1"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    run = write_run(tmp_path_factory.mktemp("energy") / "r", gpu=True, noise=0.002, failures=False)
    return read_run(run)


def measured(data: RunData, joules: Callable[[MeasurementRow], float | None]) -> Context:
    """The run with other energies."""
    events = [
        replace(e, details={**e.details, "joules_per_inference": joules(e)})
        if isinstance(e, MeasurementRow)
        else e
        for e in data.events
    ]
    return build_context(replace(data, events=tuple(events)))


class Viewed(NamedTuple):
    """The section's parts."""

    answer: tuple[Sentence, ...]
    notes: tuple[str, ...]
    charts: tuple[Chart, ...]
    best: Table
    table: Table


def viewed(context: Context) -> Viewed:
    found = section(context)
    assert found is not None
    answer, *notes, charts, best, every = found.blocks
    assert isinstance(answer, Prose) and isinstance(charts, Charts)
    assert isinstance(best, TableBlock) and isinstance(every, TableBlock)
    assert every.folded and every.only == "appendix"
    said = tuple(b.text for b in notes if isinstance(b, Text) and b.style == "note")
    return Viewed(answer.sentences, said, charts.charts, best.table, every.table)


def said(context: Context) -> str:
    return " ".join(map(str, viewed(context).answer))


def fastest(context: Context) -> SummaryRow:
    return order(context.rows, THROUGHPUT)[0]


def test_there_is_a_section_only_where_energy_was_measured(cpu: Context, gpu: Context) -> None:
    assert section(cpu) is None
    assert "Power and energy" not in render_html(build_view(cpu))
    html = render_html(build_view(gpu))
    body = html[html.index("<main ") :]
    titles = (
        "Backend comparison", "Power and energy", "The most frugal point of each configuration",
        "Energy of every point", "Same outputs as the reference",
    )  # fmt: skip
    places = [body.index(f">{title}<") for title in titles]
    assert places == sorted(places)


def test_each_configuration_has_its_most_frugal_point(gpu: Context) -> None:
    found = viewed(gpu)
    firsts: dict[str, str] = {}
    for row in found.table.rows:  # the most inferences per joule first
        firsts.setdefault(row[0].text, row[4].text)
    assert {row[0].text: row[4].text for row in found.best.rows} == firsts
    assert len(found.best.rows) == len(firsts) == len(gpu.series) < len(found.table.rows)


def test_table_has_every_valid_point_the_most_inferences_per_joule_first(gpu: Context) -> None:
    first, *valid = gpu.rows
    found = viewed(replace(gpu, rows=(replace(first, valid=False), *valid))).table
    assert len(found.rows) == len(valid)
    by_place = {(gpu.name(r), str(r.batch_size), str(r.concurrency)): r for r in valid}
    ordered = []
    for name, batch, load, energy, per_joule, power, _, clock, temperature in found.rows:
        row = by_place.pop((name.text, batch.text, load.text))
        assert row.joules_per_inference is not None
        ordered.append(row.joules_per_inference.value)
        assert energy.text == value_text(row.joules_per_inference)
        assert per_joule.text == value_text(row.inferences_per_joule)
        assert power.text == value_text(row.metrics["gpu_power_w"])
        assert all(c.range for c in (energy, per_joule, power)) == (row.rounds > 1)
        assert clock.text == ("1,965–1,980" if row.concurrency == 4 else "1,980")
        last = max(m.round for m in row.measurements)
        assert temperature.text == str(44 + 2 * (row.concurrency or 0) + last)
    assert ordered == sorted(ordered)


def test_chart_draws_the_points_with_both_intervals(gpu: Context) -> None:
    (chart,) = viewed(gpu).charts
    rows = {r.point: r for r in gpu.rows}
    drawn = 0
    for series in chart.series:
        values = zip(series.labels, series.x, series.y, series.x_range, series.y_range, strict=True)
        for label, x, y, x_range, y_range in values:
            row = rows[label.partition(":")[0]]
            assert row.throughput is not None
            assert row.joules_per_inference is not None
            energy = row.joules_per_inference
            assert (x, y) == (row.throughput.value, pytest.approx(1 / energy.value))
            assert x_range == (row.throughput.low, row.throughput.high)
            assert y_range == (pytest.approx(1 / energy.high), pytest.approx(1 / energy.low))
            assert series.color == gpu.colors[gpu.name(row)]
            drawn += 1
    assert drawn == len(chart.table.rows) == sum(r.valid for r in gpu.rows)


def test_a_bound_on_the_energy_is_a_line_at_its_reciprocal(gpu: Context) -> None:
    bounds = {"joules_per_inference": {"max": 0.25}, "throughput": {"min": 300.0}}
    (chart,) = viewed(replace(gpu, bounds=bounds)).charts
    assert [(b.axis, b.value) for b in chart.bounds] == [("x", 300.0), ("y", 4.0)]
    assert chart.bounds[1].label == "energy per inference ≤ 0.25 J"


def unshared(row: MeasurementRow) -> float:
    """A wobble that is the frugal point's own: what all share is the round's, and no scatter."""
    return WOBBLE[(row.round + (row.point == FRUGAL)) % len(WOBBLE)]


def test_a_winner_is_named_and_compared_with_the_fastest(data: RunData) -> None:
    top = fastest(build_context(data)).point
    energies = {FRUGAL: 0.1, top: 0.125}
    context = measured(data, lambda m: energies.get(m.point, 0.5) * unshared(m))
    text = said(context)
    start = "torch-cuda-fp16 (batch 4, concurrency 1) needs the least energy per inference, 0.1000 "
    assert text.startswith(start)
    assert "less than every other point, by the 95% intervals of their ratios." in text
    assert f"The point of highest throughput, {top.partition('/')[0]} (" in text
    # two points alone: ±0.86 %, a paired t of two degrees of freedom; the others, quiet, lend some
    assert "needs 25.0% (24.4–25.6)" in text
    assert " more energy per inference for " in text
    energies[top] = 0.45  # the same ±0.49 % as above
    context = measured(data, lambda m: energies.get(m.point, 0.5) * unshared(m))
    assert "needs 4.500 (4.479–4.521) times the energy per inference for " in said(context)


def test_a_tie_claims_nothing(data: RunData) -> None:
    top = fastest(build_context(data)).point
    energies = {FRUGAL: 0.1, top: 0.1001}
    context = measured(data, lambda m: energies.get(m.point, 0.5) * unshared(m))
    text = said(context)
    assert "needs the least" not in text
    assert "has the lowest energy per inference" in text
    assert f"and can't be told apart from {top.partition('/')[0]} (" in text
    assert "and in energy per inference they can't be told apart" in text
    context = measured(data, lambda m: 0.1 * WOBBLE[m.round])
    assert " more by the 95% intervals" in said(context)


def test_the_fastest_may_be_the_most_frugal(data: RunData) -> None:
    top = fastest(build_context(data)).point
    context = measured(data, lambda m: (0.1 if m.point == top else 0.5) * WOBBLE[m.round])
    assert "It also has the highest throughput, " in said(context)


def test_only_points_that_hold_the_constraints_are_compared(data: RunData) -> None:
    context = measured(data, lambda m: (0.1 if m.point == FRUGAL else 0.5) * WOBBLE[m.round])
    bounds = {"throughput": {"min": 1 + max(
        r.throughput.value for r in context.rows if r.point == FRUGAL and r.throughput
    )}}  # fmt: skip
    text = said(replace(context, bounds=bounds))
    assert text.startswith("Of the points that hold every constraint, ")
    assert "torch-cuda-fp16 (batch 4, concurrency 1)" not in text
    impossible = said(replace(context, bounds={"throughput": {"min": 1e9}}))
    assert impossible.startswith("torch-cuda-fp16 (batch 4, concurrency 1) needs the least")


def test_a_point_of_which_a_round_failed_is_listed_but_not_compared(gpu: Context) -> None:
    failed = [r for r in gpu.rows if r.valid and not usable(r)]
    assert failed
    assert said(replace(gpu, bounds={})).startswith("Of the points that can be ranked, ")
    rows = tuple(r for r in gpu.rows if r not in failed)
    assert not said(replace(gpu, bounds={}, rows=rows)).startswith("Of the points")


def test_one_round_shows_no_difference(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", gpu=True, rounds=1, failures=False)
    text = said(build_context(read_run(run)))
    assert "with one round no difference can be shown" in text
    assert "needs" not in text


def test_points_without_energy_are_named(data: RunData) -> None:
    def joules(m: MeasurementRow) -> float | None:
        return None if m.backend == "torch-cuda-fp32" and m.round == 1 else 0.1

    found = viewed(measured(data, joules))
    assert len(found.table.rows) == 18
    assert "Not every round of 6 valid points has energy" in found.notes[-1]
    assert found.notes[-1].endswith("of torch-cuda-fp32.")
    assert section(measured(data, lambda m: None)) is None
    assert len(viewed(measured(data, lambda m: 0.1)).notes) == 1


def test_only_what_has_energy_is_drawn_and_called_fastest(data: RunData) -> None:
    whole = build_context(data)
    top = whole.name(fastest(whole))

    def joules(m: MeasurementRow) -> float | None:
        return None if m.backend == top else (0.1 if m.point == FRUGAL else 0.5) * WOBBLE[m.round]

    context = measured(data, joules)
    text = said(context)
    assert text.startswith("Of the points that have energy, torch-cuda-fp16 (batch 4, ")
    assert ". Of these, the point of highest throughput, " in text
    assert ". The point of highest throughput" not in text
    first = next(r for r in order(context.rows, THROUGHPUT) if context.name(r) != top).point
    context = measured(data, lambda m: None if m.backend == top else 1 + (m.point != first))
    assert "It also has the highest throughput of these, " in said(context)
    (chart,) = viewed(context).charts
    assert {s.name for s in chart.series} == set(context.series) - {top}
    assert {row[0].text for row in chart.table.rows} == set(context.series) - {top}
    sizes = len({(r.backend, r.batch_size) for r in context.rows})
    assert chart.notes[0].startswith(f"Curves of {len(chart.series)} of the {sizes} combinations ")
    assert viewed(whole).charts[0].notes[0].startswith(f"Curves of {sizes} combinations ")


def test_models_colocated_share_the_energy(data: RunData) -> None:
    scenario = dict(data.manifest["scenario"])
    first, *others = scenario["backends"]
    scenario["backends"] = [{**first, "colocated": [{"name": "detector"}]}, *others]
    manifest = {**data.manifest, "scenario": scenario}
    found = viewed(build_context(replace(data, manifest=manifest)))
    assert "divided by the inferences of resnet50 alone" in " ".join(found.notes)
