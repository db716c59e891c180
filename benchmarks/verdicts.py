"""How often the verdict rule cries wolf, and what it finds: A/A and planted slow-downs, simulated.

    python benchmarks/verdicts.py        writes docs/benchmarks/verdicts.md

A block's A and B have the logs of throughput, p50 and p99, p99 with twice the scatter, throughput
and p50 correlated (half of the variance is shared). A run looks after 4, 6, 9, 13 and 19 blocks and
ends at the first verdict, as `harness.compare.verdicts` has it. Beside it the naive rule: two
medians of five measurements, a regression from 5 % on.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from harness.compare.verdicts import LOOKS, Verdict, judge
from harness.scenario.metrics import PRIMARY

DEVIATIONS = (0.005, 0.01, 0.02, 0.03, 0.05)
SLOWER = (0.0, 0.02, 0.05)
RUNS, A_A_RUNS = 2_000, 10_000
"""A line; more of those whose share is to be shown to lie below 5 %."""
SEED = 20_261_128
COLUMNS = (
    "scatter", "planted", *Verdict, "false alarms", "blocks", "naive", "runs",
)  # fmt: skip
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "verdicts.md"
Float64 = NDArray[np.float64]


class Line(NamedTuple):
    deviation: float
    slower: float
    runs: int
    verdicts: dict[Verdict, float]
    blocks: float
    naive: float
    """Share of runs that the naive rule calls a regression or an improvement."""


def values(rng: np.random.Generator, deviation: float, slower: float) -> dict[str, Float64]:
    """Metric → values of A and B, shape (blocks, 2)."""
    most = LOOKS[-1]
    shared = rng.normal(0, deviation, (most, 2))
    shift = np.log1p([0.0, slower])
    noise = [(shared + rng.normal(0, deviation, (most, 2))) / np.sqrt(2) for _ in range(2)]
    return {
        "throughput": np.exp(-noise[0] - shift),
        "p50": np.exp(noise[1] + shift),
        "p99": np.exp(rng.normal(0, 2 * deviation, (most, 2)) + shift),
    }


def run(measured: dict[str, Float64]) -> tuple[Verdict, int]:
    """The verdict of one run, and the blocks that it took."""
    for blocks in LOOKS:
        pairs = {m: [(float(a), float(b)) for a, b in v[:blocks]] for m, v in measured.items()}
        said = {j.verdict for j in judge(pairs, PRIMARY.values())}
        for verdict in (Verdict.REGRESSION, Verdict.IMPROVEMENT):
            if verdict in said:
                return verdict, blocks
        if said == {Verdict.EQUIVALENT}:
            return Verdict.EQUIVALENT, blocks
    return Verdict.INCONCLUSIVE, LOOKS[-1]


def naive(measured: dict[str, Float64]) -> bool:
    """Whether the median of five of B is 5 % off that of A in any metric."""
    medians = [np.median(v[:5], axis=0) for v in measured.values()]
    return any(abs(np.log(b / a)) > np.log1p(0.05) for a, b in medians)


def line(deviation: float, slower: float, runs: int) -> Line:
    rng = np.random.default_rng([SEED, int(1e4 * deviation), int(1e3 * slower)])
    said: list[Verdict] = []
    blocks, cried = 0, 0
    for _ in range(runs):
        measured = values(rng, deviation, slower)
        verdict, used = run(measured)
        said.append(verdict)
        blocks += used
        cried += naive(measured)
    shares = {v: said.count(v) / runs for v in Verdict}
    return Line(deviation, slower, runs, shares, blocks / runs, cried / runs)


def false_alarms(line: Line) -> str:
    """The share of an A/A line with its 95 % interval (Wilson); empty for the others."""
    if line.slower:
        return ""
    share, n, z = (
        line.verdicts[Verdict.REGRESSION] + line.verdicts[Verdict.IMPROVEMENT],
        line.runs,
        1.96,
    )
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return f"**{share:.1%}** ({max(middle - half, 0):.1%}–{middle + half:.1%})"


def report(lines: list[Line], seconds: float) -> str:
    """The page of results."""
    rows = "\n".join(
        f"| {x.deviation:.1%} | {f'{x.slower:.0%} slower' if x.slower else 'nothing (A/A)'} | "
        + " | ".join(f"{x.verdicts[v]:.1%}" for v in Verdict)
        + f" | {false_alarms(x)} | {x.blocks:.1f} | {x.naive:.1%} | {x.runs:,} |"
        for x in lines
    )
    return f"""# What the verdict rule finds, and how often it cries wolf

Written by `python benchmarks/verdicts.py` ({seconds:.0f} s, seed {SEED}).
The scatter is that of one round's log (p99 has twice as much); margins 2 % for throughput and p50,
5 % for p99; looks after {", ".join(map(str, LOOKS))} blocks. *Naive* is what two medians of five
and a threshold of 5 % call a change. *False alarms* are both directions together, over all looks
and metrics, with the 95 % interval of the simulation.

| {" | ".join(COLUMNS)} |
{"|---" * len(COLUMNS)}|
{rows}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--a-a-runs", type=int, default=A_A_RUNS, help="of lines without a change")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    started = time.monotonic()
    runs = {s: arguments.runs if s else arguments.a_a_runs for s in SLOWER}
    lines = [line(d, s, runs[s]) for d in DEVIATIONS for s in SLOWER]
    page = report(lines, time.monotonic() - started)
    arguments.output.write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
