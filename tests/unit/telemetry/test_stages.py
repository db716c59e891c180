from __future__ import annotations

import numpy as np

from harness.results.series import TelemetrySeries
from harness.telemetry.stages import LATE_NS, Stage, cut


def series(*pairs: tuple[int, float]) -> TelemetrySeries:
    times, values = zip(*pairs, strict=True)
    return TelemetrySeries(np.array(times, np.int64), np.array(values, float))


STEP = 10 * LATE_NS
"""Far enough apart that no reading counts to the stage before it."""


def scaled(ends: list[tuple[str, int]]) -> list[tuple[str, int]]:
    return [(name, end * STEP // 10) for name, end in ends]


MEMORY = series(*(
    (t * STEP // 10, mib) for t, mib in
    ((0, 5.0), (10, 5.0), (20, 500.0), (30, 520.0), (40, 900.0), (50, 640.0), (60, 700.0))
))  # fmt: skip


def test_stages_have_a_peak_and_what_they_left_behind() -> None:
    ends = [("baseline", 10), ("context", 30), ("weights", 50), ("load", 60)]
    assert cut(MEMORY, scaled(ends)) == [
        Stage("baseline", 5.0, 5.0), Stage("context", 520.0, 520.0),
        Stage("weights", 900.0, 640.0), Stage("load", 700.0, 700.0),
    ]  # fmt: skip


def test_what_a_stage_took_last_shows_in_the_reading_after_its_end() -> None:
    late = series((0, 5.0), (STEP, 520.0), (STEP + 4_000_000, 612.0), (3 * STEP, 700.0))
    found = cut(late, [("context", STEP + 2_000_000), ("weights", 3 * STEP)])
    assert found == [Stage("context", 612.0, 612.0), Stage("weights", 700.0, 700.0)]
    soon = cut(late, [("context", STEP + 2_000_000), ("weights", STEP + 3_000_000)])
    assert soon[0] == Stage("context", 520.0, 520.0)  # it may be the next stage's already
    assert cut(late, [("context", STEP)])[0].held == 612.0
    assert cut(late, [("context", STEP + 5_000_000)])[0].held == 612.0  # the next comes too late


def test_a_stage_between_two_readings_has_the_one_in_force() -> None:
    found = cut(MEMORY, scaled([("context", 30), ("weights", 35), ("warm", 50)]))
    assert found[1] == Stage("weights", 520.0, 520.0)
    assert found[2].peak == 900.0


def test_stages_before_the_first_reading_are_left_out() -> None:
    one = series((STEP, 1.0))
    assert [s.name for s in cut(one, [("baseline", STEP // 2), ("context", 2 * STEP)])] == [
        "context"
    ]
