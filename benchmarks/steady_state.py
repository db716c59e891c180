"""How often the steady-state rules raise an alarm, where they should and where they should not.

    python benchmarks/steady_state.py                  writes docs/benchmarks/steady-state.md

Series of latencies are simulated: without any drift (independent, correlated, and a queue's), and
with a drift or a transient of known size. Each goes through `harness.measure.steady.steadiness`
with the thresholds as they are; the table says how often NO STEADY STATE was raised, and by which
of its two rules. Then points of several rounds: how often one is INVALID, where the flag of half
of its rounds decides and where their drifts must go one way too, and whether the interval of those
that wander holds the truth. The thresholds were chosen by this script.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.analysis.drift import ALIKE, one_way, shift
from harness.analysis.intervals import log_t_interval
from harness.measure.steady import BATCH, FEWEST, SHIFT, SHIFT_Z, steadiness

RUNS = 500
ROUNDS = (2, 3, 4, 5)
POINT_REQUESTS = 662
SIZES = (662, 2000, 6636)
SEED = 20_240_602
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "steady-state.md"
Float64 = NDArray[np.float64]
Make = Callable[[np.random.Generator, int], Float64]
"""A series of so many latencies, mean about 1."""


def independent(spread: float) -> Make:
    return lambda rng, n: np.exp(rng.normal(0, spread, n))


def correlated(spread: float, phi: float) -> Make:
    """Logs of an autoregressive process of order one, from its stationary distribution."""

    def make(rng: np.random.Generator, n: int) -> Float64:
        noise = rng.normal(0, spread * math.sqrt(1 - phi**2), n)
        noise[0] = rng.normal(0, spread)
        return np.exp(lfilter([1.0], [1.0, -phi], noise))

    return make


def queue(load: float) -> Make:
    """Responses of an M/D/1 queue after 5000 requests of warm-up, by Lindley's recursion."""

    def make(rng: np.random.Generator, n: int) -> Float64:
        count = n + 5000
        arrivals = np.cumsum(rng.exponential(1 / load, count))
        k = np.arange(count)
        departures = np.maximum.accumulate(arrivals - k) + k + 1
        return (departures - arrivals)[-n:]

    return make


def drift(base: Make, size: float) -> Make:
    """A straight line from the first request to the last on top, centred at 1."""
    return lambda rng, n: base(rng, n) * (1 + size * np.linspace(-0.5, 0.5, n))


def transient(base: Make, size: float, share: float) -> Make:
    """Slower by `size` at first, decaying with a time constant of `share` of the window."""
    return lambda rng, n: base(rng, n) * (1 + size * np.exp(-np.arange(n) / (share * n)))


STEADY: dict[str, Make] = {
    "independent, spread 5 %": independent(0.05),
    "independent, spread 50 %": independent(0.5),
    "correlated (AR(1), 0.9), spread 5 %": correlated(0.05, 0.9),
    "correlated (AR(1), 0.99), spread 5 %": correlated(0.05, 0.99),
    "M/D/1 responses, load 0.5": queue(0.5),
    "M/D/1 responses, load 0.8": queue(0.8),
    "M/D/1 responses, load 0.9": queue(0.9),
}
MOVING: dict[str, Make] = {
    "drift of 2 % over the window, spread 5 %": drift(independent(0.05), 0.02),
    "drift of 5 %, spread 5 %": drift(independent(0.05), 0.05),
    "drift of 10 %, spread 5 %": drift(independent(0.05), 0.10),
    "drift of 10 %, correlated 0.9, spread 5 %": drift(correlated(0.05, 0.9), 0.10),
    "twice as slow at first, over 5 % of the window": transient(independent(0.05), 1.0, 0.05),
    "twice as slow at first, over 30 % of the window": transient(independent(0.05), 1.0, 0.30),
}


def unlike(base: Make) -> Make:
    """A beginning that is slower by 5 to 40 %, and ends sooner or later: no two rounds alike."""

    def make(rng: np.random.Generator, n: int) -> Float64:
        return transient(base, rng.uniform(0.05, 0.4), rng.uniform(0.1, 0.4))(rng, n)

    return make


def at_times(moving: Make, steady: Make) -> Make:
    """In one round in two."""
    return lambda rng, n: (moving if rng.random() < 0.5 else steady)(rng, n)


WANDERING: dict[str, tuple[Make, float]] = {
    "independent, spread 5 %": (independent(0.05), 0.05),
    "AR(1) 0.99, spread 5 %": (correlated(0.05, 0.99), 0.05),
    "AR(1) 0.99, spread 15 %": (correlated(0.15, 0.99), 0.15),
    "AR(1) 0.999, spread 10 %": (correlated(0.10, 0.999), 0.10),
}
"""With the spread: the log of the mean latency is half of its square."""
DRIFTING: dict[str, Make] = {
    "5 % over each window, AR(1) 0.99 of 5 %": drift(correlated(0.05, 0.99), 0.05),
    "10 %, AR(1) 0.99 of 5 %": drift(correlated(0.05, 0.99), 0.10),
    "20 %, AR(1) 0.99 of 5 %": drift(correlated(0.05, 0.99), 0.20),
    "10 %, independent, spread 5 %": drift(independent(0.05), 0.10),
    "slow beginnings, no two alike, AR(1) 0.99 of 5 %": unlike(correlated(0.05, 0.99)),
    "the same in one round in two": at_times(
        unlike(correlated(0.05, 0.99)), correlated(0.05, 0.99)
    ),
    "twice as slow at first in one round in two, AR(1) 0.9": at_times(
        transient(correlated(0.05, 0.9), 1.0, 0.3), correlated(0.05, 0.9)
    ),
}


def points(make: Make, rounds: int, rng: np.random.Generator) -> tuple[int, int, list[Float64]]:
    """How many points are INVALID by flags alone, and by their direction too; and the round means
    of those that direction frees.
    """
    flagged, one_sided, freed = 0, 0, []
    for _ in range(RUNS):
        windows = [make(rng, POINT_REQUESTS) for _ in range(rounds)]
        alarms = sum(not steadiness((w * 4e6).astype(np.int64)).steady for w in windows)
        if 2 * alarms < rounds:
            continue
        flagged += 1
        moved = [shift(np.array([s.mean() for s in np.array_split(w, 5)])) for w in windows]
        if one_way(moved):
            one_sided += 1
        else:
            freed.append(np.array([w.mean() for w in windows]))
    return flagged, one_sided, freed


def held(freed: list[Float64], truth: float) -> str:
    """The share of the points whose interval over rounds holds the true mean."""
    if len(freed) < 20:
        return "–"
    found = [log_t_interval(means.tolist()) for means in freed]
    inside = sum(
        i.low <= truth <= i.high for i in found if i.low is not None and i.high is not None
    )
    return f"{100 * inside / len(freed):.0f} % of {len(freed)}"


def over_rounds() -> str:
    heads = ["series", *(f"{n} rounds" for n in ROUNDS), "interval of the freed"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    every = {**WANDERING, **{name: (make, math.nan) for name, make in DRIFTING.items()}}
    for index, (name, (make, spread)) in enumerate(every.items()):
        cells, all_freed = [], []
        for rounds in ROUNDS:
            rng = np.random.default_rng([SEED, 7, index, rounds])
            flagged, one_sided, freed = points(make, rounds, rng)
            cells.append(f"{100 * flagged / RUNS:.0f} → {100 * one_sided / RUNS:.0f} %")
            all_freed += freed
        truth = held(all_freed, math.exp(spread**2 / 2)) if name in WANDERING else ""
        lines.append(f"| {name} | {' | '.join(cells)} | {truth} |")
    return "\n".join(lines)


def rates(make: Make, size: int, rng: np.random.Generator) -> tuple[float, float]:
    """Shares of the series that are called unsteady, and of those whose cut is at its bound."""
    found = [steadiness((make(rng, size) * 4e6).astype(np.int64)) for _ in range(RUNS)]
    return (
        sum(not s.steady for s in found) / RUNS,
        sum(s.at_bound for s in found) / RUNS,
    )


def table(series: dict[str, Make]) -> str:
    head = "| series | " + " | ".join(f"{n:,} requests" for n in SIZES) + " |\n|---" * 1
    lines = [head + "|---" * len(SIZES) + "|"]
    for index, (name, make) in enumerate(series.items()):
        cells = []
        for size in SIZES:
            any_, bound = rates(make, size, np.random.default_rng([SEED, index, size]))
            cells.append(f"{100 * any_:.1f} % ({100 * bound:.1f} %)")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def report() -> str:
    return f"""# How often the steady-state rules speak

Written by `python benchmarks/steady_state.py`. Each cell is the share of {RUNS} simulated windows
that were flagged NO STEADY STATE, and in brackets the share in which MSER-5's cut was at its bound.
Thresholds: batches of {BATCH}, at least {FEWEST} of them; a shift between the window's halves of
more than {100 * SHIFT:g} % and of more than {SHIFT_Z:g} standard errors. Seed {SEED}.

## Nothing moves: false alarms

{table(STEADY)}

## Something moves: detections

{table(MOVING)}

A drift below or near the 2 % threshold moves the halves' means by half as much (a straight line of
10 % over the window is a shift of 5 % between the halves) and passes. A transient that is short
beside the window hardly changes what the window says, and is left to the window's length.

## Points of several rounds

The share of {RUNS} points of windows of {POINT_REQUESTS} requests in which half of the rounds or
more are flagged, and, behind the arrow, in which they also drift one way: all rounds, or their mean
by a t-test at {100 * ALIKE:.0f} %. Only these are INVALID. The first four wander and do not drift;
the last column says how often the 95 % interval over rounds of those that are not INVALID any more
holds the true mean, over all numbers of rounds. The others drift.

{over_rounds()}

With two rounds the sign alone decides, so half of those that wander stay INVALID. A transient that
comes in some rounds only is nearer to wandering than to a drift: its rounds differ, and their
interval is wide.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    output = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(report(), encoding="utf-8")
    print(output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
