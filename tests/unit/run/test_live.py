"""What is shown while a run goes on."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace

import pytest
from rich.console import Console
from support.rows import capacity, measurement

from harness.results.events import (
    Best,
    Event,
    Lanes,
    MeasuredAgain,
    Note,
    Plan,
    PointStarted,
    Progress,
    RoundAdded,
    RunStarted,
    SearchEnded,
    SessionStarted,
    Status,
    Undecided,
)
from harness.results.rows import FailureRow, MeasurementRow, ParityRow
from harness.run import live
from harness.run.live import LiveTable, RunProgress, json_lines, plain_lines
from harness.run.time_left import TimeLeft

PLAN = Plan(("a/b1/c1", "a/b1/c2"), 3)


def measured(point: str = "a/b1/c1", round_: int = 0) -> MeasurementRow:
    latency = {"p50": 3.996, "p99": None}
    return measurement(point=point, round=round_, throughput=250.04, latency_ms=latency)


def lines(*events: Event) -> list[str]:
    out = io.StringIO()
    plain = plain_lines(out)
    for event in events:
        plain(event)
    return out.getvalue().splitlines()


def test_a_line_says_where_the_run_is() -> None:
    plan, done = lines(PLAN, measured())
    assert plan == "2 points × 3 rounds"
    assert done.startswith("[1/6] round 1 a/b1/c1: 250.0 inferences/s, p50 4.00 ms (about 0:0")


def test_a_resumed_run_goes_on_counting() -> None:
    plan, done = lines(replace(PLAN, measured=4), measured(round_=2))
    assert plan.endswith("3 rounds, 4 already measured")
    assert done.startswith("[5/6] round 3 ")


def test_rounds_that_are_added_are_announced_and_counted() -> None:
    whole = [measured(p, r) for r in range(3) for p in ("a/b1/c1", "a/b1/c2")]
    more = RoundAdded(3, 1, "to tell the best apart")
    said = lines(PLAN, *whole, more, measured(round_=3))
    assert said[-3].startswith("[6/6]")
    assert said[-2] == "round 4 is added: 1 point again, to tell the best apart"
    assert said[-1].startswith("[7/7] round 4 a/b1/c1")
    resumed = lines(replace(PLAN, measured=8), measured(round_=4))
    assert resumed[-1].startswith("[9/9]")


def test_no_end_is_foretold_where_a_search_may_end_any_time() -> None:
    plan, done = lines(replace(PLAN, at_most=True), measured())
    assert plan.startswith("at most 2 points")
    assert "left)" not in done


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (FailureRow("a/b1/c1", 1, "a", "died", "signal"), "round 2 a/b1/c1: FAILED (died): signal"),
        (Note("clipped"), "note: clipped"),
        (Undecided("which is best"), "note: which is best"),
        (SearchEnded("budget", ("t/i2",)), "the budget ended the search; not measured: t/i2"),
        (SearchEnded("budget", ()), "the budget ended the search; not measured: nothing"),
        (Best(why="no point"), "no best config was written: no"),
        (Best("t", "i2", why="it is"), "best config: t/i2, it is"),
        (ParityRow("a", 1, "disagrees", "eager"), "parity: a b1: disagrees"),
        (MeasuredAgain("a/b1/r80", 1), "round 2 a/b1/r80: doubtful, measured once more"),
        (Status("preparing the model"), "preparing the model"),
        (capacity(), "[1/1] round 1 a/b1/find_capacity: 80 requests/s hold"),
        (capacity(rate=None, reason="too slow"),
         "[1/1] round 1 a/b1/find_capacity: no rate holds; too slow"),
        (measurement(latency_ms={"p50": math.inf}), "[0/0] round 1 a/b1/c1: 250.0 inferences/s"),
    ],
)  # fmt: skip
def test_events_in_words(event: Event, said: str) -> None:
    assert lines(event)[0].startswith(said)


def test_what_agrees_and_what_says_nothing_is_passed_over() -> None:
    agrees = ParityRow("a", 1, "agrees", "eager")
    assert lines(agrees, RunStarted(), Undecided(""), PointStarted("a/b1/c1", 0)) == []


def test_json_lines_are_the_journals() -> None:
    out = io.StringIO()
    json_lines(out)(measurement(latency_ms={"p99": math.inf}))
    (line,) = out.getvalue().splitlines()
    assert json.loads(line) == measurement(latency_ms={"p99": math.inf}).to_event()


def test_the_table_has_a_row_a_point() -> None:
    table = LiveTable()
    loading, begun = SessionStarted("a", "i2", 0), PointStarted("a/b1/c2", 0)
    going = Progress("window", 30, 2.0, 8.04)
    failed = FailureRow("a/b1/c2", 0, "a", "hung", "no answer")
    for event in (PLAN, loading, begun, measured(), failed, going):
        table.take(event)
    console = Console(width=120, record=True, quiet=False, file=io.StringIO())
    console.print(table.render())
    text = console.export_text()
    assert "a/b1/c1" in text
    assert "1/3" in text
    assert "3.996" not in text
    assert "4.00  n/a" in " ".join(text.split(" " * 4))
    assert "failed: hung" in text
    assert "round 1: a/b1/c2" in text
    assert "window: 15.0 requests/s, p99 8.0 ms" in text


def test_the_end_is_foretold_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(live.time, "monotonic", lambda: now[0])
    progress = RunProgress()
    progress.take(PLAN)
    now[0] += 30
    assert "(about 2:30 left)" in (progress.take(measured()) or "")


def test_a_time_left_that_nobody_can_know_is_a_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TimeLeft, "seconds", lambda _: (90.0, 250.0))
    progress = RunProgress()
    progress.take(PLAN)
    assert progress.remaining() == " (1:30 to 4:10 left)"


def test_each_device_has_a_line_of_what_it_does() -> None:
    table = LiveTable()
    table.take(Lanes({"cuda:0": "round 1: a/b1/c1", "cuda:1": "done (complete)"}))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table.render())
    shown = console.export_text()
    assert "cuda:0: round 1: a/b1/c1\ncuda:1: done (complete)" in shown


def test_at_80_columns_what_is_going_on_is_whole() -> None:
    table, point = LiveTable(), "triton-grpc-onnxruntime-fp16/b16/c128"
    table.take(PLAN)
    table.take(PointStarted(point, 1))
    console = Console(width=80, file=io.StringIO())
    lines = console.render_lines(table.render())  # as `Live` does, which leaves out what is over
    assert any(f"round 2: {point}" in "".join(s.text for s in line) for line in lines)


def test_at_80_columns_no_figure_is_cut_by_a_long_name() -> None:
    table, name = LiveTable(), "triton-grpc-onnxruntime/dyn-preferred4-8-queue500us-max16/b16/c128"
    table.take(Plan((name,), 3))
    latency = {"p50": 1234.56, "p99": 12345.67}
    table.take(measurement(point=name, throughput=123456.7, latency_ms=latency))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(table.render())
    words = console.export_text().split()
    assert {"infer/s", "1/3", "123456.7", "1234.56", "12345.67"} <= set(words)
    assert name in "".join(words).replace("1/3123456.71234.5612345.67", "")


def test_what_failed_as_the_one_before_is_not_said_again() -> None:
    why = ("usage", "no such weights")
    rows = [FailureRow(f"{name}/b1/c1", 0, name, *why) for name in "ab"]
    assert lines(*rows, FailureRow("c/b1/c1", 0, "c", "raised", "other")) == [
        "round 1 a/b1/c1: FAILED (usage): no such weights",
        "round 1 b/b1/c1: FAILED (usage), as the one before",
        "round 1 c/b1/c1: FAILED (raised): other",
    ]


def test_a_plan_of_one_is_no_plural() -> None:
    assert lines(Plan(("a/b1/c1",), 1)) == ["1 point × 1 round"]


def test_of_more_points_than_lines_progress_and_what_was_measured_last_are_seen() -> None:
    table, names = LiveTable(10), tuple(f"a/b1/c{n}" for n in range(1, 41))
    table.take(Plan(names, 3))
    for name in (*names[:30], names[0]):
        table.take(measurement(point=name))
    table.take(PointStarted("a/b1/c31", 1))
    console = Console(width=80, height=15, file=io.StringIO())
    lines = ["".join(s.text for s in line) for line in console.render_lines(table.render())]
    seen = "\n".join(lines[:15])  # as `Live` does, which leaves out what is over
    assert "31/120" in seen
    assert "round 2: a/b1/c31" in seen
    assert [line.split()[0] for line in lines if "a/b1/c" in line][1:4] == [
        "a/b1/c1", "a/b1/c30", "a/b1/c29"
    ]  # fmt: skip


def test_lanes_leave_the_points_that_were_measured_last_in_sight() -> None:
    table, names = LiveTable(10), tuple(f"a/b1/c{n}" for n in range(1, 11))
    table.take(Plan(names, 2))
    for name in names:
        table.take(measurement(point=name))
    table.take(Lanes({f"cuda:{n}": "round 1: a/b1/c9" for n in range(8)}))
    console = Console(width=80, height=15, file=io.StringIO())
    lines = ["".join(s.text for s in line) for line in console.render_lines(table.render())]
    assert len(lines) <= 15 and any("cuda:7" in line for line in lines)
    assert any(line.startswith("a/b1/c10 ") for line in lines)
