"""What a worker is told of a point: how long to warm up and to measure, and the load."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.load.schedule import read_trace
from harness.scenario.expand import Point
from harness.scenario.schema import Load, Scenario


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
