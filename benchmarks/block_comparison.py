"""Do comparisons within a run hold the truth? Equal points, simulated, three ways to compare them.

    python benchmarks/block_comparison.py        writes docs/benchmarks/block-comparison.md

Points of the same value are measured in a few rounds; their scatter differs from point to point
(log-normal, by the factor of `spread`), and each round has a luck of its own that all points share.
Compared are blocks with moderated variances (harness/analysis/blocks.py), the paired t of two
points' own differences, and Welch's t, which knows nothing of rounds. Then a real run,
of an H200 on 23 November 2026: what three of its five rounds decide, held against what all five do.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from welch import ratio_interval

from harness.analysis.blocks import Blocks
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import summarize
from harness.results.store import read_run

POINTS, ROUNDS = (6, 24, 99), (3, 5)
SPREADS = (1.0, 1.6, 2.7)
EFFECTS = (0.0, 1.0, 2.5)
PAIRS = 3000
SEED = 20_261_128
ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "benchmarks" / "block-comparison.md"
SAMPLE = ROOT / "tests" / "data" / "runs" / "h200-2026-11-23"
FEWER, ALL = 3, 5
Rounds = NDArray[np.float64]
"""Throughputs, shape (points, rounds)."""


class Cell(NamedTuple):
    points: int
    rounds: int
    spread: float
    effect: float
    coverage: float
    of_pairs: float
    """Half-width over that of the paired t."""
    of_welch: float


def cell(points: int, rounds: int, spread: float, effect: float, pairs: int) -> Cell:
    rng = np.random.default_rng([SEED, points, rounds, int(10 * spread), int(10 * effect)])
    step = max(2, points // 12)
    covered, widths = 0, np.zeros((0, 3))
    while len(widths) < pairs:
        scatter = 0.01 * np.exp(rng.normal(0, math.log(spread), points))
        logs = rng.normal(0, 1, (points, rounds)) * scatter[:, None]
        values = np.exp(logs + rng.normal(0, 0.01 * effect, rounds))
        blocks = Blocks({f"{i}": dict(enumerate(row)) for i, row in enumerate(values.tolist())})
        for i in range(0, points - 1, step):
            found = blocks.ratio(f"{i}", f"{i + 1}")
            assert found is not None
            low, high = found.low, found.high
            assert low is not None
            assert high is not None
            covered += low <= 1 <= high
            own = log_t_interval((values[i] / values[i + 1]).tolist())
            welch = ratio_interval(values[i].tolist(), values[i + 1].tolist())
            widths = np.vstack([widths, [_half(found), _half(own), _half(welch)]])
    mean = widths.mean(axis=0)
    return Cell(points, rounds, spread, effect, covered / len(widths), mean[0] / mean[1],
                mean[0] / mean[2])  # fmt: skip


def _half(interval: Interval) -> float:
    half = interval.half_width
    assert half is not None
    return half


def cells(pairs: int) -> Iterator[Cell]:
    for points in POINTS:
        for rounds in ROUNDS:
            for spread in SPREADS:
                for effect in EFFECTS:
                    yield cell(points, rounds, spread, effect, pairs)


class Decisions(NamedTuple):
    way: str
    decided: float
    """Share of the pairs that three rounds tell apart."""
    agreed: float
    """Of these the share that all five tell apart, and in the same order."""
    contradicted: float


def sample() -> Rounds:
    """The throughputs of the points that have all rounds."""
    data = read_run(SAMPLE)
    values = [r.per_round("throughput") for r in summarize(data.measurements, data.failures)]
    return np.array([v for v in values if len(v) == ALL])


def by_blocks(values: Rounds) -> list[int]:
    """Of each pair 1 or -1 where it is told apart, else 0."""
    run = Blocks({f"{i}": dict(enumerate(row)) for i, row in enumerate(values.tolist())})
    return [_said(run.ratio(f"{i}", f"{j}")) for i, j in _pairs(values)]


def by_welch(values: Rounds) -> list[int]:
    """As `by_blocks`."""
    rows = values.tolist()
    return [_said(ratio_interval(rows[i], rows[j])) for i, j in _pairs(values)]


def _pairs(values: Rounds) -> Iterator[tuple[int, int]]:
    return itertools.combinations(range(len(values)), 2)


def _said(interval: Interval | None) -> int:
    assert interval is not None
    assert interval.low is not None
    assert interval.high is not None
    return int(interval.low > 1) - int(interval.high < 1)


def decisions(way: str, rule: Callable[[Rounds], list[int]], values: Rounds) -> Decisions:
    """What each three of the rounds decide, against all of them."""
    every = np.array(rule(values))
    subsets = itertools.combinations(range(ALL), FEWER)
    fewer = np.array([rule(values[:, list(rounds)]) for rounds in subsets])
    decided = fewer != 0
    same, against = (fewer == every) & decided, fewer * every < 0
    return Decisions(way, decided.mean(), same.sum() / decided.sum(), against.sum() / decided.sum())


def real_run() -> str:
    """The page's part on the sample."""
    values = sample()
    found = [decisions("blocks", by_blocks, values), decisions("Welch", by_welch, values)]
    rows = "\n".join(
        f"| {d.way} | {d.decided:.1%} | {d.agreed:.2%} | {d.contradicted:.2%} |" for d in found
    )
    return f"""## A real run

The throughputs of the {len(values)} points of a run on one H200 (23 November 2026,
`tests/data/runs/h200-2026-11-23`) that have all {ALL} rounds: each {FEWER} of the rounds, every
pair of points.

|  | told apart | as by all {ALL} rounds | the other way round |
|---|---|---|---|
{rows}
"""


def report(found: list[Cell], real: str, pairs: int, seconds: float) -> str:
    """The page of results."""
    rows = "\n".join(
        f"| {c.points} | {c.rounds} | ×{c.spread:g} | {c.effect:g} | **{c.coverage:.1%}** "
        f"| {c.of_pairs:.3f} | {c.of_welch:.3f} |"
        for c in found
    )
    least, most = min(c.coverage for c in found), max(c.coverage for c in found)
    return f"""# Comparing the points of one run

Written by `python benchmarks/block_comparison.py` ({seconds:.0f} s, seed {SEED}). Points of equal
value, 1 % of scatter in the median; it differs between points by the factor of *spread*, and each
round shifts all of its points by a luck of *effect* times 1 %. Coverage is the share of {pairs:,}
pairs or more whose 95 % interval of the ratio holds 1: {least:.1%} to {most:.1%} over all cells;
pairs of one run share their prior, so chance moves a cell by about ±0.6 % (one standard error).
The half-widths are means, over those of the paired t on the same two points, and of Welch's.

| points | rounds | spread | effect | coverage | half-width ÷ pairs | half-width ÷ Welch |
|---|---|---|---|---|---|---|
{rows}

How to read it: with three rounds a pair of points knows its scatter from two degrees of freedom,
and t is 4.3; what the other points know of scatter brings that down. Where rounds have a luck of
their own, Welch's interval holds it too, and is several times too wide.

{real}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    started = time.monotonic()
    found = list(cells(arguments.pairs))
    page = report(found, real_run(), arguments.pairs, time.monotonic() - started)
    arguments.output.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
