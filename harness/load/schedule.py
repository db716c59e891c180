"""Open-loop schedules: when each request is due, made beforehand and never re-anchored.

A schedule is an int64 array of nanoseconds after the start, in order. The load is a sequence of
segments, each with a rate at its begin and at its end (equal for a step, different for a ramp);
arrivals are made for unit rate and mapped through the inverse of the cumulative rate, so every
arrival process works with every shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.errors import UsageError
from harness.results.samples import Int64

Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of load: requests a second at its begin and end, and its length in seconds."""

    begin_rate: float
    end_rate: float
    seconds: float

    @property
    def requests(self) -> float:
        """Expected number of requests."""
        return (self.begin_rate + self.end_rate) / 2 * self.seconds


def make_schedule(
    segments: Sequence[Segment], arrivals: str = "constant", *, seed: int = 0, cv: float = 1.0
) -> Int64:
    """Arrival times in ns after the start, shape (requests,).

    `constant` spaces arrivals evenly, `poisson` draws exponential gaps, `gamma` draws gamma gaps
    with coefficient of variation `cv` (1 is Poisson, larger is burstier). For a varying rate the
    gaps are those of the time-changed unit-rate process (Lewis & Shedler 1979, Çinlar's method:
    arrival = Λ⁻¹(unit-rate arrival)). Raises ValueError on a rate below zero or without requests.
    """
    if any(s.begin_rate < 0 or s.end_rate < 0 or s.seconds <= 0 for s in segments):
        raise ValueError("rates must not be negative and every segment needs a length")
    total = sum(s.requests for s in segments)
    if total <= 0:
        raise ValueError("a schedule without a single request")
    unit = _unit_arrivals(arrivals, total, np.random.default_rng(seed), cv)
    return np.round(_inverse(segments, unit) * 1e9).astype(np.int64)


def _unit_arrivals(kind: str, total: float, rng: np.random.Generator, cv: float) -> Float64:
    """Arrivals of a process of rate one on (0, total]."""
    if kind == "constant":
        return np.arange(int(np.floor(total + 1e-9)), dtype=np.float64)
    if kind not in ("poisson", "gamma"):
        raise ValueError(f"unknown arrivals '{kind}'")
    if cv <= 0:
        raise ValueError("cv must be positive")
    shape = 1.0 if kind == "poisson" else 1 / cv**2
    pieces: list[Float64] = []
    reached = 0.0
    while reached <= total:
        count = int((total - reached) * 1.05) + 64
        piece = reached + np.cumsum(rng.gamma(shape, 1 / shape, count))
        pieces.append(piece)
        reached = float(piece[-1])
    arrivals = np.concatenate(pieces)
    return arrivals[arrivals <= total]


def _inverse(segments: Sequence[Segment], unit: Float64) -> Float64:
    """Λ⁻¹: seconds at which the expected number of arrivals reaches `unit`."""
    seconds = np.empty_like(unit)
    start_time = start_count = 0.0
    for segment in segments:
        mask = (unit >= start_count) & (unit <= start_count + segment.requests)
        seconds[mask] = start_time + _within(segment, unit[mask] - start_count)
        start_time += segment.seconds
        start_count += segment.requests
    return seconds


def _within(segment: Segment, count: Float64) -> Float64:
    """Solve b·t + (e−b)·t²/(2·T) = count for t; in a form that is stable for small e−b."""
    b, slope = segment.begin_rate, (segment.end_rate - segment.begin_rate) / segment.seconds
    root = np.sqrt(np.maximum(b * b + 2 * slope * count, 0.0))
    with np.errstate(invalid="ignore", divide="ignore"):
        t = np.where(count > 0, 2 * count / (b + root), 0.0)
    return np.asarray(np.minimum(t, segment.seconds))


def read_trace(path: Path) -> Int64:
    """Arrival times of a trace: one number a line, seconds after the start, `#` comments allowed.

    Times are shifted so that the first is zero. Raises UsageError that names the line.
    """
    times: list[float] = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: the trace can't be read: {error}") from error
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        try:
            value = float(text)
        except ValueError:
            raise UsageError(f"{path}:{number}: '{text}' is not a time in seconds") from None
        if not np.isfinite(value) or (times and value < times[-1]):
            raise UsageError(f"{path}:{number}: times must be finite and in order")
        times.append(value)
    if not times:
        raise UsageError(f"{path}: the trace has no arrivals")
    return np.round((np.array(times) - times[0]) * 1e9).astype(np.int64)
