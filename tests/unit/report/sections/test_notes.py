"""What the run wrote down as it went, where the report says it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from support.synthetic_variants import NAME

from harness.report.model.context import Context, build_context
from harness.report.sections.notes import best_directory, disturbances, notes, unmeasured
from harness.results.events import Best, Note, SearchEnded, Undecided
from harness.results.rows import MeasurementRow
from harness.results.store import read_run


def test_what_the_run_wrote_down_is_in_the_report(variants_run: Path) -> None:
    data = read_run(variants_run)
    left = tuple(f"{NAME}/i{n}" for n in range(5, 13))
    events = [
        Note("i4 was clipped"), Note("i4 was clipped"),
        Undecided("first"), Undecided("at its end"), SearchEnded("budget", left),
        Best(
            NAME, "i2-dyn", directory="best/resnet50", difference="best/difference.diff",
        ),
    ]  # fmt: skip
    context = build_context(replace(data, events=(*data.events, *events)))
    assert notes(context) == ("i4 was clipped", "at its end")
    assert unmeasured(context) == [
        "The budget left no time for 8 configurations: i5, i6, i7, i8, i9, i10 and 2 more."
    ]
    (where,) = best_directory(context)
    assert str(where) == (
        "i2-dyn lies ready to serve in best/resnet50; best/difference.diff is what differs from "
        "the default."
    )
    assert [s.text for s in where.spans if s.strong] == ["best/resnet50"]


def disturbances_of(context: Context) -> list[str]:
    return disturbances((*context.rows, *context.searched))


def test_a_machine_that_was_not_the_runs_alone_is_said_with_what_to_do(cpu_run: Path) -> None:
    data = read_run(cpu_run)
    assert disturbances_of(build_context(data)) == []
    first = [e for e in data.events if isinstance(e, MeasurementRow)][:2]
    events = tuple(
        replace(e, flags=("foreign_load", "cpu_steal")[: 1 + first.index(e)]) if e in first else e
        for e in data.events
    )
    (said,) = disturbances_of(build_context(replace(data, events=events)))
    assert "2 of 68 " in said
    kinds = "machine was busy at 2 and CPU taken by other virtual machines at 1"
    assert f" were disturbed from outside ({kinds})" in said
    assert "CPUs of its own" in said
    assert "not shared" in said and "are left out of a point's value" in said
    every = tuple(
        replace(e, flags=("foreign_load",)) if isinstance(e, MeasurementRow) else e
        for e in data.events
    )
    (said,) = disturbances_of(build_context(replace(data, events=every)))
    assert "No round was left alone, so every value is of disturbed ones" in said
    assert "left out of" not in said


def test_a_run_without_a_search_wrote_nothing_down(variants_run: Path) -> None:
    plain = build_context(read_run(variants_run))
    assert (notes(plain), best_directory(plain), unmeasured(plain)) == ((), [], [])
