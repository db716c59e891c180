"""What failed and what was flagged: the tables, and what the section says without them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.measure.validity import INVALIDATES, short
from harness.report.model.context import Context, build_context
from harness.report.model.section import TableBlock
from harness.report.sections.flags import failures_table, flags_table, section
from harness.results.events import Note
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Three rounds asked for and measured, nothing failed."""
    path = tmp_path_factory.mktemp("flags") / "r"
    return read_run(write_run(path, backends=CPU_BACKENDS[:1], failures=False))


def test_a_clean_run_says_so_and_its_notes_stand_at_the_end(plain: RunData) -> None:
    note = Note("i4 was clipped")
    clean = [replace(r, flags=()) for r in build_context(plain).rows]
    context = build_context(replace(plain, events=(*plain.events, note)))
    found = section(replace(context, rows=tuple(clean))).blocks
    assert [b.text for b in found if not isinstance(b, TableBlock)] == [
        "No point failed.", "Nothing was flagged.", "Notes of the run", "i4 was clipped",
    ]  # fmt: skip


def test_equal_failures_of_several_rounds_are_one_row(cpu: Context) -> None:
    failures, flagged = section(cpu).blocks
    assert isinstance(failures, TableBlock) and isinstance(flagged, TableBlock)
    table = failures_table(cpu.rows)
    assert failures.table == table and table is not None
    logs = [row[4].text for row in table.rows if row[0].text == "triton-http-onnxruntime/b4/c4"]
    assert logs == ["logs/triton-0.log", "logs/triton-1.log", "logs/triton-2.log"]
    same = [replace(r, failures=tuple(replace(f, log="") for f in r.failures)) for r in cpu.rows]
    equal = failures_table(same)
    assert equal is not None
    rows = {row[0].text: row for row in equal.rows}
    died = rows["triton-http-onnxruntime/b4/c4"]
    assert (died[1].text, len(died)) == ("1, 2, 3", 4)  # none has a log, so there is no column
    assert died[2].text == "the Triton server ended during the measurement"
    assert died[3].range == "fix: look into the server's log"
    hung = rows["onnxruntime-cpu-fp32/b4/c4"]
    assert (hung[1].text, hung[3].range) == ("3", "")
    assert not failures_table([]) and not flags_table([])


def test_a_flag_of_half_of_the_rounds_makes_a_point_invalid(plain: RunData) -> None:
    """What the table says of such a flag is what happens to a point."""
    flag = min(INVALIDATES - {"all_failed"})
    point = plain.measurements[0].point

    def valid(flagged: int, rounds: int) -> bool:
        events = [
            replace(e, flags=(flag,))
            if isinstance(e, MeasurementRow) and e.point == point and e.round < flagged
            else e
            for e in plain.events
            if getattr(e, "round", 0) < rounds
        ]
        context = build_context(replace(plain, events=tuple(events)))
        table = flags_table(context.rows)
        assert table is not None
        effects = {row[0].text: row[2].text for row in table.rows}
        assert "half of the rounds or more" in effects[short(flag)]
        (points,) = (row[3].text for row in table.rows if row[0].text == short(flag))
        (row,) = (r for r in context.rows if r.point == point)
        assert (f"{point} (invalid)" in points) != row.valid
        return row.valid

    assert [valid(1, 3), valid(2, 3), valid(1, 2), valid(1, 1)] == [True, False, False, False]


def test_many_points_are_counted_and_the_invalid_ones_named(plain: RunData) -> None:
    (row, *_) = build_context(plain).rows
    flag = min(INVALIDATES - {"all_failed"})
    rows = [replace(row, point=f"p{i}", flags=(flag,), valid=i != 3) for i in range(20)]

    def points(of: int) -> str:
        table = flags_table(rows[:of])
        assert table is not None
        return table.rows[0][3].text

    assert points(4) == "p0, p1, p2, p3 (invalid)"
    assert points(20) == "20 of 20 points, of them p3 (invalid); all in summary.csv"
