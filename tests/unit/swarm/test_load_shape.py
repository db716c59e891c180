"""The scenario's shape as Locust asks for it."""

from __future__ import annotations

import time
from typing import Any

from support.stress import stress, unpatched

LoadShape = unpatched("harness.swarm.load_shape").ScenarioShape


def at(seconds: float, given: dict[str, Any], *, drained: bool = True) -> Any:
    slots = {"max_outstanding": 32} if given is RATE else {}
    shape = LoadShape(stress(shape=given, **slots), 1.0, lambda: drained)
    shape.begin(time.monotonic_ns() - round(seconds * 1e9))
    return shape


RATE = {"constant": {"rate": 5, "duration": "10s"}}
USERS = {"step": {"begin": 2, "end": 6, "steps": 3, "duration": "9s", "unit": "users"}}


def test_users_follow_the_levels() -> None:
    assert [at(t, USERS).tick()[0] for t in (0.1, 4, 8)] == [2, 4, 6]
    assert at(9.1, USERS).tick() is None


def test_rates_have_all_their_slots_until_what_was_due_is_answered() -> None:
    assert at(-1, RATE).tick()[0] == 32
    assert at(9, RATE).tick()[0] == 32
    assert at(10.1, RATE).tick() is None
    assert at(10.1, RATE, drained=False).tick()[0] == 32
    assert at(13.5, RATE, drained=False).tick() is None  # the time-out of a request has passed


def test_it_can_be_ended_early() -> None:
    shape = at(1, RATE)
    shape.stopped = True
    assert shape.tick() is None
