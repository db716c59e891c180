"""What the numbers rest on, in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.synthetic_run import CPU_BACKENDS, write_run

from harness.measure.validity import INVALIDATES
from harness.report.model.context import Context, build_context
from harness.report.sections.evidence import flags_table, method
from harness.report.view import build_view
from harness.results.rows import MeasurementRow
from harness.results.store import RunData, read_run


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    """Three rounds asked for and measured, nothing failed."""
    path = tmp_path_factory.mktemp("evidence") / "r"
    return read_run(write_run(path, backends=CPU_BACKENDS[:1], failures=False))


def _up_to(data: RunData, rounds: int) -> RunData:
    """The run as it stands after so many rounds."""
    return replace(data, events=tuple(e for e in data.events if getattr(e, "round", 0) < rounds))


def test_the_method_says_how_many_rounds_were_measured(plain: RunData) -> None:
    said = [method(build_context(_up_to(plain, rounds)))[0] for rounds in (3, 2, 1, 0)]
    assert "Rounds. Points were measured in 3 rounds. Each round starts" in said[0]
    assert "Points were measured in 2 rounds; asked for were 3 rounds. Each" in said[1]
    assert "Points were measured in 1 round; asked for were 3 rounds. Each" in said[2]
    assert "Rounds. Asked for were 3 rounds. Each round starts" in said[3]


def test_the_method_names_the_fewest_and_the_most_rounds(cpu: Context) -> None:
    rounds = {r.rounds for r in cpu.rows if r.rounds}
    assert (
        f"in {min(rounds)} to {max(rounds)} rounds; asked for were 3 rounds. Each"
        in (method(cpu)[0])
    )


def test_the_method_says_whose_memory_is_a_points_own(gpu: Context) -> None:
    (said,) = (text for text in method(gpu) if "Before every point" in text)
    assert "gives back what earlier points left in caches" in said
    assert "Memory of triton-grpc-onnxruntime is the server's" in said
    assert "an upper bound" in said


def test_each_paragraph_of_the_method_has_a_lead_word(gpu: Context) -> None:
    leads = [lead for lead, rest in build_view(gpu).method if rest]
    assert len(leads) == len(method(gpu))
    assert max(len(lead.split()) for lead in leads) <= 4
    assert {"Clock", "GPU memory", "Memory between points"} <= set(leads)


def test_a_flag_of_half_of_the_rounds_makes_a_point_invalid(plain: RunData) -> None:
    """What the table says of such a flag is what happens to a point."""
    flag = min(INVALIDATES - {"all_failed"})
    point = plain.measurements[0].point

    def valid(flagged: int, rounds: int) -> bool:
        events = [
            replace(e, flags=(flag,))
            if isinstance(e, MeasurementRow) and e.point == point and e.round < flagged
            else e
            for e in _up_to(plain, rounds).events
        ]
        context = build_context(replace(plain, events=tuple(events)))
        table = flags_table(context.rows)
        assert table is not None
        effects = {row[0].text: row[2].text for row in table.rows}
        assert "half of the rounds or more" in effects[flag.replace("_", " ")]
        (points,) = (row[3].text for row in table.rows if row[0].text == flag.replace("_", " "))
        (row,) = (r for r in context.rows if r.point == point)
        assert (f"{point} (invalid)" in points) != row.valid
        return row.valid

    assert [valid(1, 3), valid(2, 3), valid(1, 2), valid(1, 1)] == [True, False, False, False]


def test_the_command_that_finishes_a_run_names_its_path(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", backends=CPU_BACKENDS[:1], complete=False)
    banner = build_view(build_context(read_run(run))).banners[0]
    assert f"harness run --resume {run}; " in banner


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
