"""Shapes of load as phases, levels and arrivals: pure functions of what the scenario says."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.load.schedule import Segment, make_schedule, read_trace
from harness.results.samples import Int64
from harness.swarm import settings as spec

PIECES = 48
"""Straight pieces that stand for one period of a wave: its rate is off by 0.2 % at most."""


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of a shape: seconds after the load began, and the levels at its ends."""

    name: str
    begin: float
    end: float
    first: float
    last: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.begin


def by_rate(shape: spec.Shape) -> bool:
    """Whether its levels are requests a second (open loop), not users (closed loop)."""
    if isinstance(shape, spec.Level1):
        return shape.rate is not None
    return shape.unit == "rate"


@functools.lru_cache(maxsize=4)
def _trace(file: str) -> Int64:
    """Read once: a watcher asks for the level many times a second."""
    found = read_trace(Path(file))
    found.flags.writeable = False
    return found


def duration(shape: spec.Shape) -> float:
    """Seconds of the whole; a trace is as long as its last arrival is late."""
    if isinstance(shape, spec.StressTrace):
        return max(float(_trace(shape.file)[-1]) / 1e9, 1e-3)
    return float(getattr(shape, "duration"))  # noqa: B009 - every other shape has one


def phases(shape: spec.Shape) -> tuple[Phase, ...]:
    """The stretches that are told apart in answers, thresholds and the report."""
    if isinstance(shape, spec.Spike):
        top, back = shape.at, shape.at + shape.lasts
        return (
            Phase("before", 0.0, top, shape.base, shape.base),
            Phase("spike", top, back, shape.peak, shape.peak),
            Phase("after", back, shape.duration, shape.base, shape.base),
        )
    if isinstance(shape, spec.Steps):
        long = shape.duration / shape.steps
        levels = np.linspace(shape.begin, shape.end, shape.steps).tolist()
        return tuple(
            Phase(f"step {i + 1}", i * long, (i + 1) * long, v, v) for i, v in enumerate(levels)
        )
    end = duration(shape)
    if isinstance(shape, spec.StressTrace):
        mean = len(_trace(shape.file)) / end
        return (Phase(shape.phases[0], 0.0, end, mean, mean),)
    return (Phase(shape.phases[0], 0.0, end, level(shape, 0.0), level(shape, end)),)


def level(shape: spec.Shape, t: float) -> float:
    """Requests a second, or users, `t` seconds after the load began."""
    if isinstance(shape, spec.Level1):
        return float(shape.rate or shape.users or 0.0)
    if isinstance(shape, spec.StressRamp):
        return shape.begin + (shape.end - shape.begin) * min(t / shape.duration, 1.0)
    if isinstance(shape, spec.Wave):
        swing = (1 - math.cos(2 * math.pi * t / shape.period)) / 2
        return shape.base + (shape.peak - shape.base) * swing
    found = [p for p in phases(shape) if p.begin <= t]
    return found[-1].first


def _segments(shape: spec.Shape) -> Iterator[Segment]:
    if isinstance(shape, spec.Wave):
        count = math.ceil(shape.duration / shape.period * PIECES)
        ends = np.linspace(0.0, shape.duration, count + 1).tolist()
        for begin, end in itertools.pairwise(ends):
            yield Segment(level(shape, begin), level(shape, end), end - begin)
        return
    for phase in phases(shape):
        yield Segment(phase.first, phase.last, phase.seconds)


def schedule(stress: spec.Stress, seed: int) -> Int64:
    """When each request is due, ns after the load began; empty for a closed loop.

    Raises UsageError for a trace that can't be read, ValueError for a shape without a request.
    """
    shape = stress.shape.chosen
    if not by_rate(shape):
        return np.empty(0, np.int64)
    if isinstance(shape, spec.StressTrace):
        return _trace(shape.file)
    return make_schedule(tuple(_segments(shape)), stress.arrivals, seed=seed)


def part(due: Int64, index: int, count: int) -> Int64:
    """The arrivals that worker `index` of `count` sends: every count-th."""
    return due[index::count]
