"""Does an interval still hold the truth when its width decided how many rounds there are?

    python benchmarks/stopping.py        writes docs/benchmarks/stopping.md

Points scatter by 1 to 3 % a round, and by an AR(1) whose neighbours are correlated; rounds are
added until ±1 %, up to a most. Two stages (harness/analysis/stopping.py: the first rounds alone
say how much a point scatters) against the scatter of all rounds, estimated anew after each.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from simulated import write_page

from harness.analysis.intervals import t_quantile

DEVIATIONS, CORRELATIONS = (0.01, 0.02, 0.03), (0.0, 0.5)
DESIGNS = ((5, 15), (5, 80), (10, 40))
"""Rounds that all points get, and the most."""
TARGET = 0.01
RUNS = 40_000
SEED = 20_261_128
Float64 = NDArray[np.float64]


class Line(NamedTuple):
    first: int
    most: int
    deviation: float
    correlation: float
    two_stages: tuple[float, float]
    """Coverage and mean rounds."""
    anew: tuple[float, float]


def rounds(rng: np.random.Generator, runs: int, count: int, correlation: float) -> Float64:
    """Standard normal, shape (runs, count)."""
    values = rng.normal(0, 1, (runs, count))
    for i in range(1, count):
        fresh = math.sqrt(1 - correlation**2) * values[:, i]
        values[:, i] = correlation * values[:, i - 1] + fresh
    return values


def ended(values: Float64, first: int, two_stages: bool) -> tuple[float, float]:
    """Coverage of 0, and mean rounds, where rounds end at the first narrow interval."""
    runs, most = values.shape
    left, held, used = np.ones(runs, bool), 0, 0
    for n in range(first, most + 1):
        seen = first if two_stages else n
        half = t_quantile(0.975, seen - 1) * values[:, :seen].std(axis=1, ddof=1) / math.sqrt(n)
        done = left & ((half <= TARGET) | (n == most))
        held += int((done & (abs(values[:, :n].mean(axis=1)) <= half)).sum())
        used += n * int(done.sum())
        left &= ~done
    return held / runs, used / runs


def lines(runs: int) -> list[Line]:
    found = []
    for first, most in DESIGNS:
        for deviation in DEVIATIONS:
            for correlation in CORRELATIONS:
                seed = [SEED, first, most, int(1e3 * deviation), int(10 * correlation)]
                values = rounds(np.random.default_rng(seed), runs, most, correlation) * deviation
                both = (ended(values, first, way) for way in (True, False))
                found.append(Line(first, most, deviation, correlation, *both))
    return found


def report(runs: int) -> str:
    """The page, without its first lines."""
    rows = "\n".join(
        f"| {x.first} to {x.most} | {x.deviation:.0%} | {x.correlation:g} "
        f"| **{x.two_stages[0]:.1%}** | {x.two_stages[1]:.1f} | {x.anew[0]:.1%} | {x.anew[1]:.1f} |"
        for x in lines(runs)
    )
    return f"""
{runs:,} points a line. Rounds are added until the 95 % interval is ±{TARGET:.0%} or there are no
more; coverage is the share of points whose interval then holds the truth. *Two stages* is what the
harness does: the scatter is that of the first rounds. *Anew* estimates it from all rounds after
each one.

| rounds | scatter | correlation | coverage, two stages | rounds | coverage, anew | rounds |
|---|---|---|---|---|---|---|
{rows}

Rounds whose neighbours are correlated break both: they say less than as many independent ones. The
journal names the points where that shows.
"""


if __name__ == "__main__":
    write_page(
        "Intervals whose width decided when to stop",
        __doc__,
        report,
        runs=RUNS,
        seed=SEED,
        page="stopping.md",
    )
