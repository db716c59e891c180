"""Every line and event is written as it always was, and read back as what it is."""

from __future__ import annotations

import json
import math
from typing import get_args

import pytest

from harness.results.events import (
    JOURNAL_LINES,
    Best,
    Discarded,
    Event,
    JournalLine,
    Lanes,
    MeasuredAgain,
    Note,
    Plan,
    PointStarted,
    Progress,
    Reached,
    RoundAdded,
    RunEnded,
    RunResumed,
    RunStarted,
    SearchEnded,
    SessionStarted,
    Spent,
    Status,
    ToCome,
    Undecided,
    UnknownEvent,
    read_event,
)

LINES = [
    (RunStarted("now"), '{"event": "run_started", "time": "now"}'),
    (RunResumed("now"), '{"event": "run_resumed", "time": "now"}'),
    (RunEnded("complete", "now"), '{"event": "run_ended", "status": "complete", "time": "now"}'),
    (Note("clipped"), '{"event": "note", "text": "clipped"}'),
    (
        MeasuredAgain("a/b1/r80", 2, ("client_late",)),
        '{"event": "measured_again", "point": "a/b1/r80", "round": 2, "flags": ["client_late"]}',
    ),
    (
        Discarded("a/b1/c1", 0, 20, 10.0, {"p50": 9.5, "p99": None}, 5, 7),
        '{"event": "discarded", "point": "a/b1/c1", "round": 0, "requests": 20, '
        '"throughput": 10.0, "latency_ms": {"p50": 9.5, "p99": null}, "window_begin_ns": 5, '
        '"window_end_ns": 7}',
    ),
    (Spent(12.5), '{"event": "spent", "seconds": 12.5}'),
    (
        SearchEnded("budget", ("t/i2",)),
        '{"event": "search_ended", "why": "budget", "not_measured": ["t/i2"]}',
    ),
    (
        Reached("a/b1/c1", 3, "narrow enough", {"throughput": 0.01, "p50": None, "p99": math.inf}),
        '{"event": "reached", "point": "a/b1/c1", "rounds": 3, "why": "narrow enough", '
        '"half_widths": {"throughput": 0.01, "p50": null, "p99": "inf"}}',
    ),
    (Undecided(""), '{"event": "undecided", "text": ""}'),
    (Best(why="no point"), '{"event": "best", "config": null, "why": "no point"}'),
    (
        Best("t", "i2", "t/b1/c1", "best/net", "best/d.diff", ("t/i3",), "better", {"A": "1"}),
        '{"event": "best", "backend": "t", "config": "i2", "point": "t/b1/c1", '
        '"directory": "best/net", "difference": "best/d.diff", "tied": ["t/i3"], '
        '"why": "better", "env": {"A": "1"}}',
    ),
]
LIVE = [
    (
        Plan(("a/b1/c1",), 3, 1, True),
        '{"event": "plan", "points": ["a/b1/c1"], "rounds": 3, "measured": 1, "at_most": true}',
    ),
    (
        ToCome(1, ("a/b1/c1",), (2.0, 1.0), (4.0, 2.0), 12.0),
        '{"event": "to_come", "round": 1, "points": ["a/b1/c1"], "fewest": [2.0, 1.0], '
        '"most": [4.0, 2.0], "seconds": 12.0, "budget": null}',
    ),
    (RoundAdded(3, 1, "wide"), '{"event": "more", "round": 3, "points": 1, "why": "wide"}'),
    (Lanes({"cuda:0": "starting"}), '{"event": "lanes", "now": {"cuda:0": "starting"}}'),
    (Status("preparing"), '{"event": "status", "text": "preparing"}'),
    (
        SessionStarted("a", "default", 0),
        '{"event": "session", "backend": "a", "config": "default", "round": 0}',
    ),
    (PointStarted("a/b1/c1", 0), '{"event": "point", "point": "a/b1/c1", "round": 0}'),
    (
        Progress("window", 30, 2.0, 8.5),
        '{"event": "progress", "phase": "window", "requests": 30, "seconds": 2.0, "p99_ms": 8.5}',
    ),
]


@pytest.mark.parametrize(("event", "text"), LINES + LIVE, ids=lambda e: getattr(e, "EVENT", ""))
def test_keys_and_their_order_are_those_of_the_journal(event: Event, text: str) -> None:
    assert json.dumps(event.to_event()) == text


@pytest.mark.parametrize(("event", "text"), LINES, ids=lambda e: getattr(e, "EVENT", ""))
def test_a_line_is_read_as_what_it_is(event: JournalLine, text: str) -> None:
    assert read_event(json.loads(text)) == event


def test_what_the_worker_says_is_read() -> None:
    for event, text in LIVE:
        assert type(event).from_event(json.loads(text)) == event


def test_a_line_of_a_newer_version_is_kept_as_it_is() -> None:
    line = {"event": "dreamed", "of": "sheep"}
    assert read_event(line) == UnknownEvent("dreamed", line)
    assert isinstance(read_event({"event": "progress", "phase": "window"}), UnknownEvent)


def test_what_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match="text"):
        read_event({"event": "note"})


def test_every_event_has_a_name_of_its_own() -> None:
    names = [c.EVENT for c in get_args(Event)]
    assert len(set(names)) == len(names)
    assert "" not in names
    assert {"artifact", "loaded", "server_only", "parity", "measurement", "ceiling", "failure",
            "capacity"} <= set(JOURNAL_LINES)  # fmt: skip
    tested = {type(event) for event, _ in LINES + LIVE}
    assert {c for c in get_args(Event) if not c.__name__.endswith("Row")} == tested


def test_the_rate_of_a_progress() -> None:
    assert Progress("window", 30, 2.0).rate == 15.0
    assert Progress("warmup", 0, 0.0).rate == 0.0
