"""The seam of load generation: anything that can keep requests flowing and record them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.load.schedule import Segment, make_schedule, read_trace
from harness.results.samples import Int64
from harness.scenario.points import Point
from harness.scenario.spec.scenario import (
    ColocatedLoad,
    Load,
    Scenario,
)


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """The load of one point: a closed loop, or an open loop with its schedule."""

    concurrency: int | None = None
    schedule: Int64 | None = None
    """ns after the start, shape (requests,); see `harness.load.schedule`."""
    max_outstanding: int = 256
    shed: bool = False

    @property
    def pause(self) -> float:
        """Seconds of the longest stretch in which nothing is due."""
        if self.schedule is None:
            return 0.0
        return float(np.diff(self.schedule, prepend=0).max()) / 1e9

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LoadPlan:
        """Make the schedule that the orchestrator describes: segments or a trace."""
        if data.get("concurrency") is not None:
            return cls(concurrency=data["concurrency"])
        if data.get("trace") is not None:
            times = read_trace(Path(data["trace"]))
        else:
            times = make_schedule(
                [Segment(*s) for s in data["segments"]], data["arrivals"], seed=data["seed"],
                cv=data["cv"],
            )  # fmt: skip
        return cls(None, times, data["max_outstanding"], data["shed"])


def asked(
    load: ColocatedLoad, seed: int, round_: int, index: int, longest: float
) -> dict[str, Any]:
    """The load as a worker is told of it; `longest` is in seconds.

    Arrivals are drawn apart from those of the measured model and of the other co-located models.
    """
    if load.concurrency is not None:
        return {"concurrency": load.concurrency}
    rate = load.request_rate
    return {
        "arrivals": load.arrivals, "cv": load.cv, "max_outstanding": load.max_outstanding,
        "shed": load.overload == "shed", "segments": [(rate, rate, longest)],
        "seed": (index + 1) * 10**15 + seed * 1000 + round_,
    }  # fmt: skip


def settings_and_load(
    scenario: Scenario, point: Point, round_: int
) -> tuple[dict[str, float], dict[str, Any]]:
    """What a worker is told of a point: lengths of warm-up and window, and the load.

    A constant rate is warmed up and measured as a closed loop is. A shape is measured from its
    begin to its end, after a warm-up at the rate it begins with.
    """
    m, load = scenario.measurement, scenario.load
    settings = {
        "warmup": m.warmup, "warmup_requests": m.warmup_requests, "window": m.window,
        "window_requests": m.window_requests, "window_max": m.window_max,
        "request_timeout": m.request_timeout,
    }  # fmt: skip
    if point.concurrency is not None:
        return settings, {"concurrency": point.concurrency}
    asked: dict[str, Any] = {
        "arrivals": load.arrivals, "cv": load.cv, "seed": m.seed * 1000 + round_,
        "max_outstanding": load.max_outstanding, "shed": load.overload == "shed",
    }  # fmt: skip
    if point.request_rate is not None:
        longest = 2 * max(m.warmup, m.window_max) + m.window_max
        asked["segments"] = [(point.request_rate, point.request_rate, longest)]
        return settings, asked
    segments = shape_segments(load)
    if segments is None:
        asked["trace"] = load.trace
        times = read_trace(Path(str(load.trace)))
        length, warmup = float(times[-1]) / 1e9 + 0.1, 0.0
    else:
        length, warmup = sum(s[2] for s in segments), m.warmup
        first = segments[0][0]
        asked["segments"] = ([(first, first, warmup)] if warmup and first else []) + segments
        warmup = warmup if first else 0.0
    settings |= {
        "warmup": warmup, "warmup_requests": 0, "window": length, "window_requests": 0,
        "window_max": length,
    }  # fmt: skip
    return settings, asked


def shape_segments(load: Load) -> list[tuple[float, float, float]] | None:
    """(begin rate, end rate, seconds) of steps or a ramp; None for a trace."""
    if load.steps is not None:
        return [(s.rate, s.rate, s.duration) for s in load.steps]
    if load.ramp is not None:
        return [(load.ramp.begin, load.ramp.end, load.ramp.duration)]
    return None
