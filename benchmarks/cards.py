"""Rounds of several cards: do the intervals hold the truth, and is a slower card named?

    python benchmarks/cards.py        writes docs/benchmarks/cards.md

Each card has an effect of its own, each round of it another that all points share, and each point
scatters besides. Coverage is that of the value for the kind of card (of two cards: of these two),
with the interval that knows the cards (harness/analysis/cards.py) and with the plain t over rounds.
Naming is that of harness/fleet/spread.py, in runs whose cards differ by chance as well.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from harness.analysis.cards import FEWEST, over_cards
from harness.analysis.intervals import Interval, log_t_interval
from harness.fleet.spread import between

DESIGNS = ((4, 4), (3, 3, 3, 3), (2, 2, 2, 2), (2, 1, 1, 1), (3, 3, 2), (1, 1, 1, 1), (2,) * 8)
"""Rounds of each card."""
ROUND, CARDS = 0.01, (0.0, 0.01, 0.02)
"""Standard deviations of a round, and of a card, of the log."""
SLOWER = 0.03
NAMED = ((0.0, 0.002), (0.0, 0.005), (0.0, 0.01), (0.003, 0.005))
"""Standard deviations of cards by chance and of rounds, where one card may be slower."""
RUNS, SEED = 1_000, 20_261_128
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "cards.md"


class Covered(NamedTuple):
    design: tuple[int, ...]
    card: float
    with_cards: float
    plain: float
    wider: float
    """Median half-width over the plain one."""


def covered(design: tuple[int, ...], card: float, runs: int) -> Covered:
    """Shares of runs whose interval holds the truth."""
    rng = np.random.default_rng([SEED, *design, int(1e4 * card)])
    names = [f"c{n}" for n, count in enumerate(design) for _ in range(count)]
    place = [n for n, count in enumerate(design) for _ in range(count)]
    held = np.zeros(2)
    ratios = []
    for _ in range(runs):
        effects = rng.normal(0, card, len(design))
        values = np.exp(effects[place] + rng.normal(0, ROUND, len(place))).tolist()
        truth = 0.0 if len(design) >= FEWEST else float(effects[place].mean())
        plain = log_t_interval(values)
        known = over_cards(plain, values, names)
        held += [_holds(known, truth), _holds(plain, truth)]
        ratios.append((known.half_width or 0) / (plain.half_width or 1))
    with_cards, plainly = (held / runs).tolist()
    return Covered(design, card, with_cards, plainly, float(np.median(ratios)))


def _holds(interval: Interval, truth: float) -> bool:
    assert interval.low is not None and interval.high is not None
    return math.log(interval.low) <= truth <= math.log(interval.high)


def named(
    design: tuple[int, ...], card: float, round_: float, slower: float, runs: int
) -> tuple[float, float, float]:
    """Shares of runs in which the first card, slower by `slower`, is named; in which another is;
    and in which the interval of the spread holds the truth.
    """
    rng = np.random.default_rng([SEED, *design, int(1e4 * card), int(1e4 * round_), slower > 0])
    first = other = held = 0
    for _ in range(runs):
        effects = rng.normal(0, card, len(design))
        effects[0] += math.log1p(-slower)
        found = between(
            {
                f"c{n}": (effects[n] + rng.normal(0, round_, count)).tolist()
                for n, count in enumerate(design)
            }
        )
        slow = [c.slower for c in found.cards]
        first += slow[0]
        other += any(slow[1:])
        low, high = found.deviation.low, found.deviation.high
        held += low is not None and high is not None and low <= card <= high
    return first / runs, other / runs, held / runs


def _rounds(design: tuple[int, ...]) -> str:
    counts = sorted(set(design), reverse=True)
    return ", ".join(f"{design.count(c)} × {c}" for c in counts)


def report(runs: int) -> str:
    """The page of results."""
    began = time.monotonic()
    coverage = "\n".join(
        f"| {_rounds(c.design)} | {100 * c.card:g} % | {100 * c.with_cards:.1f} % "
        f"| {100 * c.plain:.1f} % | {c.wider:.2f} |"
        for design in DESIGNS for c in (covered(design, card, runs) for card in CARDS)
    )  # fmt: skip
    rows = []
    for design in ((4, 4), (2, 2, 2, 2), (3, 3, 3, 3)):
        for card, round_ in NAMED:
            slow, other, _ = named(design, card, round_, SLOWER, runs)
            *any_, held = named(design, card, round_, 0.0, runs)
            rows.append(
                f"| {_rounds(design)} | {100 * card:g} % | {100 * round_:g} % | {100 * slow:.1f} % "
                f"| {100 * other:.1f} % | {100 * sum(any_):.1f} % | {100 * held:.1f} % |"
            )
    names = "\n".join(rows)
    return f"""# Rounds of several cards

Simulated with known truth by `python benchmarks/cards.py`, {runs:,} runs a line, {ROUND:.0%} of
scatter from round to round in the first table. How it works: [many GPUs](../many-gpus.md).

## Does the interval of a value hold the truth?

The truth is the value of the kind of card; of two cards it is that of these two, since two say
nothing of their kind. *Plain* is the t over rounds that knows no cards; *wider* is the median of
the half-width over the plain one's.

| cards × rounds | cards differ by | holds the truth | plain | wider |
|---|---|---|---|---|
{coverage}

## Is a card that is {SLOWER:.0%} slower named?

*Another* is that some other card is named in the same runs; *equal* that any is named where none is
slower by design (cards that differ by chance are then named rightly where they are more than 1 %
slower). *Spread* is how often its interval holds the standard deviation between cards, where none
is slower.

| cards × rounds | cards differ by | rounds differ by | named | another | equal | spread |
|---|---|---|---|---|---|---|
{names}

Made in {time.monotonic() - began:.0f} s.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    args.output.write_text(report(args.runs), "utf-8")


if __name__ == "__main__":
    main()
