"""Leak or cache? The growth of memory in a soak: how much, with an interval, and of what kind.

Readings are cut into `BLOCKS` equal stretches of time, each its median: what collects garbage or
jitters within one is gone. The slope is Theil and Sen's, the median over all pairs of blocks (P. K.
Sen, JASA 63, 1968), over the second half of the soak: what fills while a service warms up is over
by then, or is still seen there. Its interval is that of least squares with the residuals' scale
from their median absolute deviation, widened for their autocorrelation ρ by √((1+ρ)/(1−ρ)); ρ is
estimated at lag one and corrected for its bias (Marriott & Pope, Biometrika 41, 1954), and the
degrees of freedom are those of as many independent blocks.

What kind of growth it is, the whole soak tells: curves that come to rest (an exponential approach,
or straight until full) against the same with a straight rise, by Schwarz's criterion on as many
independent blocks. benchmarks/stress_leak.py simulates how often each verdict is wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from harness.report.model.numbers import significant

Floats = NDArray[np.float64]
Kind = Literal["steady", "filled", "growing", "untold"]
By = Literal["", "time", "requests"]
BLOCKS = 60
FEWEST = 24
"""Blocks below which nothing is said; a reading a second makes them in as many seconds."""
SHORTEST_S = 60.0
"""A soak of less says nothing about hours."""
LEAST_H = 1.0
"""No shorter soak is said to leak: a cache that is not full yet grows like a leak, evenly or so.
What services fill, pools, arenas and caches, is taken to be mostly full after half of this."""
SMALLEST = 1.0
"""MiB an hour: growth of less than this is of no interest, whatever its interval."""
SLOWER = 0.85
"""Growth in the last quarter below this share of the third's is slowing down."""
GREW = 0.02
"""Memory that grew by this share in all, and by more than its noise, has grown."""
RESTS = 0.3
"""At rest is what grows, at the interval's upper end, by less than this share of what it did."""
TIGHT = 0.01
"""An interval that leaves room for more growth than this share of all memory, over the soak or
over an hour if that is longer, is wide."""
STRONG = 6.0
"""Difference of Schwarz's criterion that counts as strong (Kass & Raftery, JASA 90, 1995)."""
VARIES = 0.05
"""Coefficient of variation of the request rate from which time and requests can be told apart."""
LEVEL = 0.95
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Of one process or device."""

    kind: Kind
    slope: float
    """MiB an hour, over the second half."""
    low: float
    high: float
    """Its 95 % interval."""
    total: float
    """MiB from the first to the last block."""
    hours: float
    """How long the soak was."""
    by: By = ""
    """What the growth goes with; empty where that can't be told."""
    enough: float = 0.0
    """Hours that a soak must last at least to tell what this one could not."""

    def longer(self, leak: float) -> str:
        """How long a soak must last that tells a leak of `leak` MiB an hour from none, in words."""
        needed = self.needed(leak)
        if needed is None:
            return "a longer soak would tell more"
        return f"a leak of {leak:g} MiB an hour shows in a soak of {hours_text(needed)}"

    def needed(self, leak: float) -> float | None:
        """Hours until the half-width is half of `leak`; it falls with the soak's length^1.5."""
        width = (self.high - self.low) / 2
        if leak <= 0 or not math.isfinite(width):
            return None
        return float(max(self.enough, self.hours, self.hours * (2 * width / leak) ** (2 / 3)))

    @property
    def rate(self) -> str:
        """The slope with its interval."""
        low, high = significant(self.low), significant(self.high)
        return f"{significant(self.slope)} MiB an hour [{low}, {high}]"

    def words(self, what: str) -> str:
        """The verdict in a sentence, and how long the soak must last for a smaller leak."""
        with_what = {"": "; whether with time or with requests the constant load does not show",
                     "time": " with time, not with requests",
                     "requests": " with requests, not with time"}[self.by]  # fmt: skip
        verdict = {
            "steady": f"{what} does not grow: {self.rate}",
            "filled": f"{what} grew by {significant(self.total)} MiB and has come to rest, as a "
                      f"cache does: {self.rate} in the second half",
            "growing": f"{what} leaks: it grows by {self.rate}{with_what}",
            "untold": f"{what} leaks or fills, which can't be told yet: {self.rate} in the "
                      f"second half. A soak must last {hours_text(self.enough)} at least",
        }[self.kind]  # fmt: skip
        if self.kind == "untold":
            return f"{verdict}."
        smaller = max(SMALLEST, (self.high - self.low) / 4)
        return f"{verdict}. Half of what shows now: {self.longer(float(f'{smaller:.2g}'))}."


def hours_text(hours: float) -> str:
    """`12 min`, `3.4 h`."""
    return f"{hours * 60:.0f} min" if hours < 1 else f"{hours:.1f} h"


def judge_growth(seconds: Floats, mib: Floats, requests: Floats | None = None) -> Growth | None:
    """From readings of shape (n,), in order of time; `requests` is how many there were by then.

    None for too few readings, or less than a minute.
    """
    if len(seconds) < FEWEST or seconds[-1] - seconds[0] < SHORTEST_S:
        return None
    t, y, n = _blocks(seconds, mib, requests)
    if len(t) < FEWEST:
        return None
    half = len(t) // 2
    by = "" if n is None else _goes_with(t[half:], y[half:], n[half:])
    if by == "requests" and n is not None:  # then they are the clock that counts
        t = t[0] + (n - n[0]) / (n[-1] - n[0]) * (t[-1] - t[0])
    slope, width = trend(t[half:], y[half:])
    hours, total = float(seconds[-1] - seconds[0]) / HOUR, float(y[-1] - y[0])
    tight = max(SMALLEST, TIGHT * float(np.median(y)) / max(hours, LEAST_H))
    kind = _kind(t, y, slope, width, tight, hours < 0.99 * LEAST_H)  # but for a reading or two
    enough = max(LEAST_H, 2 * hours, hours * (width / tight) ** (2 / 3))
    return Growth(kind, slope, slope - width, slope + width, total, hours,
                  by if kind == "growing" else "", enough if kind == "untold" else 0.0)  # fmt: skip


def _kind(t: Floats, y: Floats, slope: float, width: float, tight: float, short: bool) -> Kind:
    """What it is, given the slope over the second half and the half-width of its interval; one of
    at most `tight` is narrow, and a soak that is `short` has no leak.
    """
    quarter, half = len(t) * 3 // 4, len(t) // 2
    last, last_width = trend(t[quarter:], y[quarter:])
    third, _ = trend(t[half:quarter], y[half:quarter])
    scale = float(np.median(np.abs(y[quarter:] - np.median(y[quarter:]))))
    grew = y[-1] - y[0] > max(GREW * float(np.median(y)), 6 * scale)
    if slope - width > SMALLEST:
        over = last + last_width <= max(SMALLEST, RESTS * slope)
        if over or short:
            return "filled" if grew and over else "untold"
        rest, rise = _curves(t, y)
        slower = last < SLOWER * third
        still = last - last_width > SMALLEST or last > SLOWER * slope
        return "growing" if rest - rise > STRONG and still and not slower else "untold"
    mean = float(y[-1] - y[0]) / (t[-1] - t[0])
    if width > tight or (grew and slope + width > max(SMALLEST, RESTS * mean)):
        return "untold"
    return "filled" if grew else "steady"


def _blocks(
    seconds: Floats, mib: Floats, requests: Floats | None
) -> tuple[Floats, Floats, Floats | None]:
    """Medians of equal stretches of time: hours, MiB, requests."""
    edges = np.linspace(seconds[0], seconds[-1], BLOCKS + 1)
    place = np.clip(np.searchsorted(edges, seconds, "right") - 1, 0, BLOCKS - 1)
    there = np.unique(place)
    t = np.array([seconds[place == b].mean() for b in there]) / HOUR
    y = np.array([np.median(mib[place == b]) for b in there])
    if requests is None:
        return t, y, None
    return t, y, np.array([requests[place == b].mean() for b in there])


def trend(t: Floats, y: Floats) -> tuple[float, float]:
    """Theil–Sen slope of y over t, and the half-width of its interval."""
    from scipy import stats

    first, second = np.triu_indices(len(t), 1)
    slope = float(np.median((y[second] - y[first]) / (t[second] - t[first])))
    residual = y - slope * t
    residual -= np.median(residual)
    n = len(t)
    rho = autocorrelation(residual)
    effective = max(4.0, n * (1 - rho) / (1 + rho))
    scale = max(1.4826 * float(np.median(np.abs(residual))), float(residual.std()) * 0.5)
    spread = float(np.sqrt(((t - t.mean()) ** 2).sum()))
    error = scale / spread * math.sqrt((1 + rho) / (1 - rho))
    return slope, float(stats.t.ppf((1 + LEVEL) / 2, effective - 2)) * error


def autocorrelation(residual: Floats) -> float:
    """At lag one, corrected for the bias of a fitted line; from 0 to 0.95."""
    n, power = len(residual), float((residual**2).sum())
    if power == 0:
        return 0.0
    rho = float((residual[1:] * residual[:-1]).sum()) / power
    return float(np.clip(rho + (2 + 4 * rho) / n, 0.0, 0.95))


def _curves(t: Floats, y: Floats) -> tuple[float, float]:
    """Schwarz's criterion of the best curve that comes to rest, and of the best with a rise."""
    span = t[-1] - t[0]
    x = t - t[0]
    one = np.ones_like(x)

    def approach(tau: float) -> Floats:
        return np.asarray(1 - np.exp(-x / tau), float)

    def full(k: float) -> Floats:
        return np.asarray(np.minimum(x, k), float)

    scales = [
        (approach, np.geomspace(span / 50, span, 16)),
        (full, np.linspace(0.05, 0.9, 16) * span),
    ]
    rest, residual = min((_best(y, make, grid, one) for make, grid in scales), key=lambda f: f[0])
    both = min((_best(y, make, grid, one, x) for make, grid in scales), key=lambda f: f[0])
    line = _fit(y, one, x)
    rho = min(autocorrelation(both[1]), autocorrelation(residual))
    n = max(8.0, len(t) * (1 - rho) / (1 + rho))
    rise = min(_schwarz(both[0], n, 4), _schwarz(line[0], n, 2))
    return _schwarz(rest, n, 3), rise


def _best(
    y: Floats, make: Callable[[float], Floats], grid: Floats, *columns: Floats
) -> tuple[float, Floats]:
    """The best fit with a curve of any scale: the grid's best, then closer and closer around it."""
    best = _fit(y, *columns, make(float(grid[0])))
    for _ in range(3):
        found = [_fit(y, *columns, make(float(scale))) for scale in grid]
        place = int(np.argmin([f[0] for f in found]))
        best = min(best, found[place], key=lambda f: f[0])
        low, high = grid[max(place - 1, 0)], grid[min(place + 1, len(grid) - 1)]
        grid = np.linspace(low, high, 9)
    return best


def _fit(y: Floats, *columns: Floats) -> tuple[float, Floats]:
    """Sum of squares and residuals of least squares; a curve that would fall or rise no more than
    a line is none.
    """
    design = np.stack(columns, axis=1)
    solution = np.linalg.lstsq(design, y, rcond=None)[0]
    residual = y - design @ solution
    if (solution[1:] < 0).any():
        residual = y - y.mean()
    return float((residual**2).sum()), residual


def _schwarz(squares: float, n: float, parameters: int) -> float:
    return n * math.log(max(squares, 1e-12)) + parameters * math.log(n)


def _goes_with(t: Floats, y: Floats, n: Floats) -> By:
    """Time or requests: whichever alone explains the growth better by far; needs a varying rate."""
    rate = np.diff(n) / np.diff(t)
    if rate.mean() <= 0 or rate.std() / rate.mean() < VARIES:
        return ""
    one = np.ones_like(t)
    by_time, residual = _fit(y, one, t)
    by_requests, other = _fit(y, one, n)
    rho = min(autocorrelation(residual), autocorrelation(other))
    count = max(8.0, len(t) * (1 - rho) / (1 + rho))
    difference = count * math.log(max(by_time, 1e-12) / max(by_requests, 1e-12))
    if abs(difference) < STRONG:
        return ""
    return "requests" if difference > 0 else "time"
