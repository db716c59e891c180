"""Schedules: rates, shapes and arrival processes, checked against their definitions."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.load.schedule import Segment, make_schedule, read_trace


def test_constant_arrivals_are_evenly_spaced_from_zero() -> None:
    schedule = make_schedule([Segment(100, 100, 2)])
    assert schedule.dtype == np.int64
    assert list(schedule) == [i * 10_000_000 for i in range(200)]


@pytest.mark.parametrize(("arrivals", "cv"), [("poisson", 1.0), ("gamma", 2.0), ("gamma", 0.25)])
def test_gaps_have_the_mean_and_variation_asked_for(arrivals: str, cv: float) -> None:
    gaps = np.diff(make_schedule([Segment(1000, 1000, 200)], arrivals, seed=1, cv=cv)) / 1e9
    assert gaps.mean() == pytest.approx(1e-3, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03)


def test_the_same_seed_gives_the_same_schedule_and_another_another() -> None:
    one, two, three = (make_schedule([Segment(50, 50, 10)], "poisson", seed=s) for s in (7, 7, 8))
    assert np.array_equal(one, two)
    assert not np.array_equal(one[:10], three[:10])


def test_steps_follow_one_another() -> None:
    schedule = make_schedule(
        [Segment(10, 10, 1), Segment(100, 100, 1), Segment(0, 0, 1), Segment(10, 10, 1)]
    )
    seconds = schedule / 1e9
    assert [int(((seconds >= a) & (seconds < a + 1)).sum()) for a in range(4)] == [10, 100, 0, 10]


@given(
    begin=st.floats(0, 500),
    end=st.floats(0.5, 500),
    seconds=st.floats(0.5, 20),
)
def test_a_ramp_has_its_area_and_stays_in_order_and_in_bounds(
    begin: float, end: float, seconds: float
) -> None:
    segment = Segment(begin, end, seconds)
    if segment.requests < 2:
        return
    schedule = make_schedule([segment])
    assert abs(len(schedule) - segment.requests) <= 1
    assert np.all(np.diff(schedule) >= 0)
    assert schedule[0] >= 0
    assert schedule[-1] <= round(seconds * 1e9)
    t = schedule[len(schedule) // 2] / 1e9  # the cumulative rate there is the count there
    reached = begin * t + (end - begin) * t * t / (2 * seconds)
    assert reached == pytest.approx(len(schedule) // 2, abs=1e-3)


@pytest.mark.parametrize(
    ("segments", "arrivals", "cv"),
    [([Segment(-1, 1, 1)], "constant", 1), ([Segment(0, 0, 1)], "constant", 1),
     ([Segment(1, 1, 0)], "constant", 1), ([Segment(9, 9, 1)], "bursty", 1),
     ([Segment(9, 9, 1)], "gamma", 0)],
)  # fmt: skip
def test_nonsense_is_refused(segments: list[Segment], arrivals: str, cv: float) -> None:
    with pytest.raises(ValueError, match=r"rates|without|unknown|cv"):
        make_schedule(segments, arrivals, cv=cv)


def test_a_trace_is_shifted_to_zero(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("# seconds\n10.5\n10.75 # burst\n\n10.75\n12\n")
    assert list(read_trace(tmp_path / "t")) == [0, 250_000_000, 250_000_000, 1_500_000_000]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("1\nx\n", ":2: 'x'"),
        ("2\n1\n", ":2: times"),
        ("nan\n", ":1: times"),
        ("#\n", "no arrivals"),
    ],
)
def test_a_bad_trace_is_named_by_line(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "t").write_text(text)
    with pytest.raises(UsageError, match=where):
        read_trace(tmp_path / "t")
