"""What a worker is told of a load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.load.plan import LoadPlan, plan_colocated, plan_point
from harness.load.schedule import Segment
from harness.scenario.points import Point
from harness.scenario.spec.colocated import ColocatedLoad
from harness.scenario.spec.scenario import Scenario

S = 1_000_000_000


def scenario(**load: Any) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": {"fake": {}}},
        "backends": [{"kind": "fake"}], "load": load,
        "measurement": {"warmup": "1s", "warmup_requests": 7, "window": "2s", "window_max": "5s",
                        "seed": 3},
    })  # fmt: skip


def point(**load: Any) -> Point:
    return Point("fake", "default", 1, **load)


def test_a_closed_loop_has_no_schedule_and_no_pause() -> None:
    settings, plan = plan_point(scenario(concurrency=(4,)), point(concurrency=4), 3)
    assert plan == LoadPlan(4, seed=3003)
    assert plan.schedule is None
    assert plan.pause == 0.0
    assert (settings.warmup, settings.warmup_requests, settings.window) == (1.0, 7, 2.0)
    assert settings.longest == 15.0  # twice the longer of warm-up and window, and the window


def test_a_rate_is_planned_for_as_long_as_warm_up_and_window_may_take() -> None:
    load = scenario(request_rate=(50.0,), arrivals="constant", overload="shed", max_outstanding=9)
    settings, plan = plan_point(load, point(request_rate=50.0), 2)
    assert plan.segments == (Segment(50.0, 50.0, settings.longest),)
    assert (plan.seed, plan.shed, plan.max_outstanding) == (3002, True, 9)
    assert plan.schedule is not None
    assert len(plan.schedule) == 50 * settings.longest
    assert plan.schedule is plan.schedule  # made once


@pytest.mark.parametrize("arrivals", ["constant", "poisson", "gamma"])
@pytest.mark.parametrize("rate", [0.001, 0.05, 0.3])
def test_a_low_rate_is_planned_for_long_enough_that_something_is_due(
    rate: float, arrivals: str
) -> None:
    load = scenario(request_rate=(rate,), arrivals=arrivals)
    for round_ in range(40):
        _, plan = plan_point(load, point(request_rate=rate), round_)
        assert plan.schedule is not None
        assert len(plan.schedule) > 3  # one that the warm-up waits for, and one for the window
        assert plan.pause < 20 / rate
    colocated = ColocatedLoad.model_validate({"request_rate": rate})
    schedule = plan_colocated(colocated, 0, 0, 0, 15.0).schedule
    assert schedule is not None and len(schedule) > 3


def test_a_shape_is_measured_from_begin_to_end_after_a_warm_up_at_its_first_rate() -> None:
    steps = ({"rate": 10.0, "duration": "3s"}, {"rate": 20.0, "duration": "4s"})
    settings, plan = plan_point(scenario(steps=steps), point(shape="steps"), 0)
    assert plan.segments == (
        Segment(10.0, 10.0, 1.0), Segment(10.0, 10.0, 3.0), Segment(20.0, 20.0, 4.0),
    )  # fmt: skip
    assert (settings.warmup, settings.window, settings.window_max) == (1.0, 7.0, 7.0)
    assert settings.warmup_requests == settings.window_requests == 0


def test_a_ramp_from_nothing_has_no_warm_up() -> None:
    ramp = {"begin": 0.0, "end": 20.0, "duration": "4s"}
    settings, plan = plan_point(scenario(ramp=ramp), point(shape="ramp"), 0)
    assert plan.segments == (Segment(0.0, 20.0, 4.0),)
    assert settings.warmup == 0.0


def test_a_trace_is_as_long_as_its_last_arrival(tmp_path: Path) -> None:
    path = tmp_path / "arrivals.txt"
    path.write_text("10\n10.5\n13.5\n")
    settings, plan = plan_point(scenario(trace=str(path)), point(shape="trace"), 0)
    assert plan.schedule is not None
    assert plan.schedule.tolist() == [0, S // 2, 7 * S // 2]
    assert plan.pause == pytest.approx(3.0)
    assert settings.window == pytest.approx(3.6)


def test_the_pause_counts_from_the_start_of_the_load() -> None:
    assert LoadPlan(segments=(Segment(0.0, 2.0, 1.0), Segment(2.0, 2.0, 1.0))).pause > 0.4


def test_arrivals_of_co_located_models_are_drawn_apart() -> None:
    load = ColocatedLoad.model_validate({"request_rate": 20.0})
    seeds = {plan_colocated(load, 0, r, i, 60.0).seed for r in range(3) for i in range(3)}
    assert len(seeds) == 9
    assert min(seeds) > 2**32 * 1000 + 1000  # beyond every seed of a measured model
    plans = [plan_colocated(load, 0, 0, index, 60.0) for index in range(2)]
    assert plans[0].segments == (Segment(20.0, 20.0, 60.0),)
    assert not np.array_equal(plans[0].schedule[:20], plans[1].schedule[:20])  # type: ignore[index]
    closed = ColocatedLoad.model_validate({"concurrency": 3})
    assert plan_colocated(closed, 0, 0, 0, 60.0) == LoadPlan(3)
