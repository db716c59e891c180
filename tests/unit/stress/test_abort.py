"""When a run is ended early."""

from __future__ import annotations

from typing import Any

import numpy as np
from support.stress import stress

from harness.stress.abort import LOOKS, Watcher, grows

LIMIT = {"thresholds": {"error_rate": {"max": "10%"}}}


def told(t: float, **more: float | None) -> dict[str, float | None]:
    return {"t": t, "failures": 0, "open": 2, "waiting": 0, "p50_ms": 5.0, **more}


def queueing(watcher: Watcher, *, disturbed: bool = False) -> str:
    said = ""
    for i in range(LOOKS + 1):
        report = told(i / 2, waiting=10.0 * i, p50_ms=5.0 + 10 * i)
        said = said or watcher.look(report, disturbed)
    return said


def watcher(**keys: Any) -> Watcher:
    return Watcher(stress(**keys), 0)


RATE = {"shape": {"constant": {"rate": 10, "duration": "100s"}}}


def test_too_many_failures_can_not_be_made_good() -> None:
    found = watcher(**LIMIT)
    assert found.look(told(1, failures=5), False) == ""
    assert "can't hold any more" in found.look(told(2, failures=50), False)


def test_a_queue_that_only_grows_is_hopeless() -> None:
    assert "hopeless" in queueing(watcher(**RATE, **LIMIT))


def test_not_where_it_was_not_asked_or_comes_down_by_itself() -> None:
    assert queueing(watcher(**RATE)) == ""  # no threshold that it breaks
    assert queueing(watcher(**RATE, **LIMIT, abort=False)) == ""
    assert queueing(watcher(**RATE, **LIMIT), disturbed=True) == ""
    spike = {"spike": {"base": 1, "peak": 50, "at": "100ms", "for": "50s", "duration": "100s"}}
    assert queueing(watcher(shape=spike, **LIMIT)) == ""


def test_growth_is_more_than_chance() -> None:
    rng = np.random.default_rng(1)
    assert not any(grows(rng.exponential(1, LOOKS).tolist()) for _ in range(2000))
    assert grows((np.arange(LOOKS) + 1.0).tolist())
    assert not grows((np.arange(LOOKS) / 1000 + 1.0).tolist())
