"""Does the winner's printed value hold the truth, once it was chosen among many? Simulated.

    python benchmarks/winner.py           writes docs/benchmarks/winner.md

The best of 24 equal configurations after five rounds looks better than it is, for it was lucky. So
a search measures it in three more rounds, which take no part in the choice (`confirm: 3`), and
prints those. Choice and intervals are the harness's own: `harness.analysis.best.choose` and
`SummaryRow.confirmed`, on rows as a run writes them.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import sys
from pathlib import Path

import numpy as np
from simulated import write_page

from harness.analysis.best import choose
from harness.analysis.metrics import CONFIRMATION
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow, summarize

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.rows import measurement

from harness.scenario.wording import signed

TRUE, CONFIGS, ROUNDS, CONFIRM, RUNS, SEED = 100.0, 24, 5, 3, 1000, 20_261_129
CELLS = [(0.01, 0.0), (0.03, 0.0), (0.03, 0.03), (0.1, 0.0)]
"""Scatter of a configuration's rounds, and of all that a round measures together."""


def search(rng: np.random.Generator, scatter: float, shared: float) -> SummaryRow:
    """The configuration that a search recommends, with its rounds of confirmation."""
    effect = rng.normal(0, shared, (ROUNDS + CONFIRM, 1)) if shared else 0.0
    values = TRUE * np.exp(rng.normal(0, scatter, (ROUNDS + CONFIRM, CONFIGS)) + effect)
    own = [
        measurement(point=f"t/i{i}/b1/c1", backend="t", config=f"i{i}", round=r,
                    throughput=float(values[r, i]))
        for r in range(ROUNDS) for i in range(CONFIGS)
    ]  # fmt: skip
    best = choose(summarize(own), THROUGHPUT, {}).recommended
    assert best is not None
    place = int(best.config.removeprefix("i"))
    later = [
        measurement(point=best.point, backend="t", config=best.config, round=r,
                    throughput=float(values[r, place]), details={"stage": CONFIRMATION})
        for r in range(ROUNDS, ROUNDS + CONFIRM)
    ]  # fmt: skip
    (row,) = summarize([*best.measurements, *later])
    return row


def line(cell: int, runs: int) -> str:
    """The cell's row of the table."""
    rng, found = np.random.default_rng([SEED, cell]), []
    for _ in range(runs):
        row = search(rng, *CELLS[cell])
        found.append(
            [
                (r.throughput.low, r.throughput.value, r.throughput.high)
                for r in (row, row.confirmed)
                if r is not None and r.throughput is not None
            ]
        )
    low, value, high = np.moveaxis(np.array(found, float), 2, 0)
    held = ((low <= TRUE) & (high >= TRUE)).mean(axis=0)
    bias = np.exp(np.log(value / TRUE).mean(axis=0)) - 1
    scatter, shared = CELLS[cell]
    return (f"| {scatter:.0%} | {shared:.0%} | {held[0]:.1%} | {signed(bias[0], '.2%')} "
            f"| **{held[1]:.1%}** | {signed(bias[1], '.2%')} |")  # fmt: skip


def report(runs: int) -> str:
    """The page, without its first lines."""
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        rows = "\n".join(pool.map(functools.partial(line, runs=runs), range(len(CELLS)), 1))
    error = 100 * (0.05 * 0.95 / runs) ** 0.5
    return f"""
{runs:,} searches a line over {CONFIGS} equal configurations, {ROUNDS} rounds each, then
{CONFIRM} of the one that is recommended: chance alone moves a true 95 % by ±{error:.1f} % (one standard error).
*Shared* is what all points of a round have in common.

| scatter | shared | its own rounds: hold the truth | bias | rounds of confirmation: hold it | bias |
|---|---|---|---|---|---|
{rows}

What is printed as the answer's value is that of the rounds of confirmation. The target is 93 %.
"""  # noqa: E501


if __name__ == "__main__":
    write_page("The winner's value", __doc__, report, runs=RUNS, seed=SEED, page="winner.md")
