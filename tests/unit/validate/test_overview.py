"""What a scenario would measure."""

from __future__ import annotations

from support.paths import ROOT

from harness.scenario.reading.loader import load
from harness.validate.overview import overview

FAKE = ROOT / "scenarios" / "fake.yaml"


def test_lines_end_with_the_time() -> None:
    found = overview(load(FAKE, ["measurement.rounds=1"]).scenario)
    *points, last = found.lines()
    assert points == list(found.points)
    assert len(points) == 8
    minutes, seconds = divmod(round(found.seconds), 60)
    assert last.startswith(f"8 points × 1 round, about {minutes}:{seconds:02d} ")


def test_json_is_what_the_dry_run_always_printed() -> None:
    found = overview(load(FAKE).scenario)
    assert list(found.to_json()) == ["points", "rounds", "estimate_s", "left_out", "search"]
