from __future__ import annotations

import numpy as np

from harness.telemetry.series import Series
from harness.telemetry.stages import Stage, cut


def series(*pairs: tuple[int, float]) -> Series:
    times, values = zip(*pairs, strict=True)
    return Series(np.array(times, np.int64), np.array(values, float))


MEMORY = series(
    (0, 5.0), (10, 5.0), (20, 500.0), (30, 520.0), (40, 900.0), (50, 640.0), (60, 700.0)
)


def test_stages_have_a_peak_and_what_they_left_behind() -> None:
    ends = [("baseline", 10), ("context", 30), ("weights", 50), ("load", 60)]
    assert cut(MEMORY, ends) == [
        Stage("baseline", 5.0, 5.0), Stage("context", 520.0, 520.0),
        Stage("weights", 900.0, 640.0), Stage("load", 700.0, 700.0),
    ]  # fmt: skip


def test_a_stage_between_two_readings_has_the_one_in_force() -> None:
    found = cut(MEMORY, [("context", 30), ("weights", 35), ("warm", 50)])
    assert found[1] == Stage("weights", 520.0, 520.0)
    assert found[2].peak == 900.0


def test_stages_before_the_first_reading_are_left_out() -> None:
    assert [s.name for s in cut(series((100, 1.0)), [("baseline", 50), ("context", 150)])] == [
        "context"
    ]
