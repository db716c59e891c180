"""What a worker is told of a load: callers, or arrivals on a schedule; and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.load.schedule import Segment, make_schedule, read_trace
from harness.results.samples import Int64
from harness.scenario.sizes import Kind, Part, cycle, parts_of

if TYPE_CHECKING:  # a worker has no need of them, and starts sooner without
    from harness.scenario.points import Point
    from harness.scenario.spec.colocated import ColocatedLoad
    from harness.scenario.spec.load import Load
    from harness.scenario.spec.scenario import Scenario

LEAST = 20
"""Requests that a constant rate is planned for at least: warm-up and window take one each."""


@dataclass(frozen=True)
class LoadPlan:
    """The load of one model: a closed loop where `concurrency` is set, else an open loop."""

    concurrency: int | None = None
    segments: tuple[Segment, ...] = ()
    """The rates of an open loop, one stretch after another."""
    trace: Path | None = None
    """A file of arrival times, instead of segments."""
    arrivals: str = "constant"
    cv: float = 1.0
    seed: int = 0
    max_outstanding: int = 256
    shed: bool = False
    processes: int = 1
    """Wire client: over how many processes it is spread."""
    parts: tuple[Part, ...] = (Part({}),)
    """The sizes of its requests, of dynamic dimensions that vary, with their shares."""

    def kinds(self, distinct: int) -> list[Kind]:
        """What the requests are that it cycles through, each part in so many variants."""
        return cycle(self.parts, distinct, self.seed)

    @cached_property
    def schedule(self) -> Int64 | None:
        """ns after the start, shape (requests,), see `harness.load.schedule`; made once.

        None for a closed loop, and without segments or a trace. Raises ValueError for segments
        without a request, UsageError for a trace that can't be read.
        """
        if self.concurrency is not None or not (self.segments or self.trace):
            return None
        if self.trace is not None:
            return read_trace(self.trace)
        return make_schedule(self.segments, self.arrivals, seed=self.seed, cv=self.cv)

    @property
    def pause(self) -> float:
        """Seconds of the longest stretch in which nothing is due."""
        if self.schedule is None:
            return 0.0
        return float(np.diff(self.schedule, prepend=0).max()) / 1e9


@dataclass(frozen=True, slots=True)
class WindowSettings:
    """How long to warm up and to measure; seconds and request counts."""

    warmup: float
    warmup_requests: int
    window: float
    window_requests: int
    window_max: float
    request_timeout: float
    pause: float = 0.0
    """The longest time in which the load sends nothing, on purpose."""

    @property
    def longest(self) -> float:
        """Seconds that warm-up and window may take, and for which a constant rate is planned."""
        return 2 * max(self.warmup, self.window_max) + self.window_max


def plan_colocated(
    load: ColocatedLoad, seed: int, round_: int, index: int, longest: float
) -> LoadPlan:
    """The load of the `index`-th co-located model; it may go on for `longest` seconds.

    Arrivals are drawn apart from those of the measured model and of the other co-located models.
    """
    if load.concurrency is not None:
        return LoadPlan(load.concurrency)
    apart = (index + 1) * 10**15 + seed * 1000 + round_
    return replace(_open_loop(load, apart), segments=_steady(load.request_rate or 0.0, longest))


def plan_point(scenario: Scenario, point: Point, round_: int) -> tuple[WindowSettings, LoadPlan]:
    """The lengths of a point's warm-up and window, and its load.

    A constant rate is warmed up and measured as a closed loop is. A shape is measured from its
    begin to its end, after a warm-up at the rate it begins with.
    """
    m, load = scenario.measurement, scenario.load
    settings = WindowSettings(
        m.warmup, m.warmup_requests, m.window, m.window_requests, m.window_max, m.request_timeout
    )
    seed, parts = m.seed * 1000 + round_, parts_of(scenario.model.dynamic)[point.sizes]
    if point.concurrency is not None:
        return settings, LoadPlan(point.concurrency, seed=seed, parts=parts)
    plan = replace(_open_loop(load, seed), parts=parts)
    if point.request_rate is not None:
        segments = _steady(point.request_rate, settings.longest)
        return settings, replace(plan, segments=segments)
    if shape := _shape(load):
        length, first = sum(s.seconds for s in shape), shape[0].begin_rate
        warmup = m.warmup if first else 0.0
        plan = replace(plan, segments=(*(_constant(first, warmup) if warmup else ()), *shape))
    else:
        plan = replace(plan, trace=Path(str(load.trace)))
        assert plan.schedule is not None
        length, warmup = float(plan.schedule[-1]) / 1e9 + 0.1, 0.0
    return WindowSettings(warmup, 0, length, 0, length, m.request_timeout), plan


def _open_loop(load: Load | ColocatedLoad, seed: int) -> LoadPlan:
    """An open loop without its rates."""
    return LoadPlan(
        arrivals=load.arrivals, cv=load.cv, seed=seed, max_outstanding=load.max_outstanding,
        shed=load.overload == "shed",
    )  # fmt: skip


def _constant(rate: float, seconds: float) -> tuple[Segment]:
    return (Segment(rate, rate, seconds),)


def _steady(rate: float, longest: float) -> tuple[Segment]:
    """A constant rate for so many seconds, or more where it is so low that nothing might be due."""
    return _constant(rate, max(longest, LEAST / rate) if rate else longest)


def _shape(load: Load) -> tuple[Segment, ...]:
    """The stretches of steps or a ramp; none for a trace."""
    if load.steps is not None:
        return tuple(Segment(s.rate, s.rate, s.duration) for s in load.steps)
    if load.ramp is not None:
        return (Segment(load.ramp.begin, load.ramp.end, load.ramp.duration),)
    return ()
