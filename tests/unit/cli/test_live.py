"""What is shown while a run goes on."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from harness.cli.live import LiveTable, PlainLines, Progress

PLAN = {"event": "plan", "points": ["a/b1/c1", "a/b1/c2"], "rounds": 3, "measured": 0,
        "at_most": False}  # fmt: skip


def measured(point: str = "a/b1/c1", round_: int = 0) -> dict[str, Any]:
    return {"event": "measurement", "point": point, "round": round_, "throughput": 250.04,
            "latency_ms": {"p50": 3.996, "p99": None}, "flags": []}  # fmt: skip


def lines(*events: dict[str, Any]) -> list[str]:
    out = io.StringIO()
    plain = PlainLines(out)
    for event in events:
        plain.notify(event)
    return out.getvalue().splitlines()


def test_a_line_says_where_the_run_is() -> None:
    plan, done = lines(PLAN, measured())
    assert plan == "2 points × 3 rounds"
    assert done.startswith("[1/6] round 1 a/b1/c1: 250.0 inferences/s, p50 4.00 ms (about 0:0")


def test_a_resumed_run_goes_on_counting() -> None:
    plan, done = lines({**PLAN, "measured": 4}, measured(round_=2))
    assert plan.endswith("3 rounds, 4 already measured")
    assert done.startswith("[5/6] round 3 ")


def test_rounds_that_are_added_are_announced_and_counted() -> None:
    whole = [measured(p, r) for r in range(3) for p in ("a/b1/c1", "a/b1/c2")]
    more = {"event": "more", "round": 3, "points": 1, "why": "to tell the best apart"}
    said = lines(PLAN, *whole, more, measured(round_=3))
    assert said[-3].startswith("[6/6]")
    assert said[-2] == "round 4 is added: 1 point again, to tell the best apart"
    assert said[-1].startswith("[7/7] round 4 a/b1/c1")
    resumed = lines({**PLAN, "measured": 8}, measured(round_=4))
    assert resumed[-1].startswith("[9/9]")


def test_no_end_is_foretold_where_a_search_may_end_any_time() -> None:
    plan, done = lines({**PLAN, "at_most": True}, measured())
    assert plan.startswith("at most 2 points")
    assert "left)" not in done


@pytest.mark.parametrize(
    ("event", "said"),
    [
        ({"event": "failure", "point": "a/b1/c1", "round": 1, "reason": "died", "message": "signal",
          "backend": "a"}, "round 2 a/b1/c1: FAILED (died): signal"),
        ({"event": "note", "text": "clipped"}, "note: clipped"),
        ({"event": "search_ended", "why": "budget", "not_measured": ["t/i2"]},
         "the budget ended the search; not measured: t/i2"),
        ({"event": "best", "config": None, "why": "no point"}, "no best config was written: no"),
        ({"event": "parity", "backend": "a", "batch_size": 1, "status": "disagrees"},
         "parity: a b1: disagrees"),
    ],
)  # fmt: skip
def test_events_in_words(event: dict[str, Any], said: str) -> None:
    assert lines(event)[0].startswith(said)


def test_what_agrees_and_what_is_unknown_is_passed_over() -> None:
    agrees = {"event": "parity", "backend": "a", "batch_size": 1, "status": "agrees"}
    assert lines(agrees, {"event": "no such thing"}) == []


def test_the_table_has_a_row_a_point() -> None:
    table = LiveTable()
    begun = {"event": "point", "point": "a/b1/c2", "round": 0}
    going = {"event": "progress", "phase": "window", "requests": 30, "seconds": 2.0}
    for event in (PLAN, begun, measured(), going):
        table.notify(event)
    console = Console(width=120, record=True, quiet=False, file=io.StringIO())
    console.print(table.render())
    text = console.export_text()
    assert "a/b1/c1" in text
    assert "1/3" in text
    assert "window: 15.0 requests/s" in text


def test_the_end_is_foretold_from_what_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("harness.cli.live.time.monotonic", lambda: now[0])
    progress = Progress()
    progress.take(PLAN)
    now[0] += 30
    assert "(about 2:30 left)" in (progress.take(measured()) or "")
