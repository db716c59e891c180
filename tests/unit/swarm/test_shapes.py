"""Shapes as phases, levels and arrivals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.stress import stress

from harness.swarm import shapes

SPIKE = {"spike": {"base": 20, "peak": 200, "at": "10s", "for": "5s", "duration": "40s"}}
WAVE = {"wave": {"base": 10, "peak": 50, "period": "8s", "duration": "16s"}}


def shape(**given: Any) -> Any:
    return stress(shape=given).shape.chosen


def test_a_spike_has_three_phases() -> None:
    found = [(p.name, p.begin, p.end, p.first) for p in shapes.phases(shape(**SPIKE))]
    assert found == [("before", 0, 10, 20), ("spike", 10, 15, 200), ("after", 15, 40, 20)]


@pytest.mark.parametrize(
    ("given", "t", "level"),
    [
        (SPIKE, 9.9, 20), (SPIKE, 10, 200), (SPIKE, 39, 20),
        ({"constant": {"users": 4, "duration": "3s"}}, 1, 4),
        ({"soak": {"rate": 7, "duration": "3s"}}, 1, 7),
        ({"ramp": {"begin": 10, "end": 30, "duration": "10s"}}, 5, 20),
        ({"step": {"begin": 10, "end": 30, "steps": 3, "duration": "9s"}}, 4, 20),
        (WAVE, 0, 10), (WAVE, 4, 50), (WAVE, 6, 30),
    ],
)  # fmt: skip
def test_levels(given: dict[str, Any], t: float, level: float) -> None:
    assert shapes.level(shape(**given), t) == pytest.approx(level)


@pytest.mark.parametrize(
    ("given", "count"),
    [
        (SPIKE, 20 * 35 + 200 * 5), (WAVE, 30 * 16),
        ({"constant": {"rate": 50, "duration": "4s"}}, 200),
        ({"ramp": {"end": 100, "duration": "4s"}}, 200),
        ({"step": {"begin": 10, "end": 30, "steps": 3, "duration": "9s"}}, 180),
    ],
)  # fmt: skip
def test_evenly_spaced_arrivals_are_as_many_as_the_levels_say(
    given: dict[str, Any], count: int
) -> None:
    due = shapes.schedule(stress(shape=given, arrivals="constant"), 0)
    assert len(due) == pytest.approx(count, abs=2)
    assert (np.diff(due) >= 0).all()
    assert due[-1] < shapes.duration(shape(**given)) * 1e9


def test_users_have_no_schedule() -> None:
    given = {"ramp": {"end": 100, "duration": "4s", "unit": "users"}}
    assert not shapes.by_rate(shape(**given))
    assert len(shapes.schedule(stress(shape=given), 0)) == 0


def test_a_trace_is_as_it_was_recorded(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    file.write_text("0\n0.5\n2.5\n", encoding="utf-8")
    given = {"trace": {"file": str(file)}}
    assert shapes.schedule(stress(shape=given), 0).tolist() == [0, 500_000_000, 2_500_000_000]
    assert shapes.duration(shape(**given)) == 2.5
    assert shapes.phases(shape(**given))[0].first == pytest.approx(3 / 2.5)


def test_workers_share_the_schedule_and_miss_nothing() -> None:
    due = np.arange(10)
    parts = [shapes.part(due, i, 3) for i in range(3)]
    assert sorted(np.concatenate(parts).tolist()) == due.tolist()
