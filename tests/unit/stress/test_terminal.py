"""What the terminal shows."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console
from support.stress import records, run_of, stress

from harness.stress.answers import answer
from harness.stress.results import Results
from harness.stress.terminal import Page, answer_page, told, watcher
from harness.stress.thresholds import judge

NOW = {"event": "progress", "t": 1.5, "users": 4, "requests": 1200, "failures": 3, "open": 2,
       "waiting": 1, "p50_ms": 5.25, "p99_ms": None}  # fmt: skip


def text_of(shown: object) -> str:
    out = io.StringIO()
    Console(file=out, width=140).print(shown)
    return out.getvalue()


def test_the_live_table_shows_the_latest_and_what_happened() -> None:
    page = Page()
    page.take(NOW)
    page.take({"event": "worker_lost", "worker": 1})
    text = text_of(page.shown())
    assert "1,200" in text
    assert "worker 1 is lost" in text
    assert (
        page.line()
        == "    1.5 s  1,200 requests, 3 failed, 2 open, 1 waiting, p50 5.25 ms, p99 n/a"
    )


def test_events_have_their_lines() -> None:
    assert "Locust's page: http://x" in told({"event": "started", "workers": 2, "page": "http://x"})
    fault = {"event": "fault", "kind": "kill", "begin": 1.0, "end": 3.5, "problem": ""}
    assert told(fault) == "fault kill at 1.0 s: undone after 2.5 s"
    assert told({**fault, "problem": "no"}).endswith("no")
    assert told({"event": "done"}) == ""


def test_json_and_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with watcher(quiet=False, as_json=True) as tell:
        tell(NOW)
    assert json.loads(capsys.readouterr().out) == NOW
    with watcher(quiet=True, as_json=False) as tell:
        tell(NOW)
    with watcher(quiet=False, as_json=False) as tell:
        tell(NOW)
        tell({**NOW, "t": 2.0})  # too soon
        tell({"event": "worker_lost", "worker": 1})
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 2


def test_the_answer_has_sentences_thresholds_and_phases() -> None:
    section = stress(thresholds={"error_rate": {"max": 0}})
    run = run_of(section, records(np.arange(0, 10, 0.1), 5.0, np.arange(100) > 0), 10.0)
    run.outcome.status, run.outcome.why = "aborted", "hopeless"
    found = answer(run)
    judged = judge(section.thresholds, found, {})
    text = text_of(answer_page(Results(run, found, {}, judged)))
    assert "aborted: hopeless" in text
    assert "error_rate: broken, 1% > 0%" in text
    assert "100 requests in 10 s" in text
    assert "steady" in text
