"""How often is `harness share` wrong about how many replicas hold a target? Simulated, truth known.

    python benchmarks/shared_fits.py         writes docs/benchmarks/shared-fits.md

A replica's p99 in a round is its true p99 times a luck of its own and, for a part of the variance,
one of the round that all replicas share; both log-normal. The rule of harness.tenants.results says
of each count whether all of its replicas hold the target.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from harness.analysis.intervals import log_t_interval
from harness.tenants.results import Verdict, strict_intervals, verdict_of

SEED = 20_261_129
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "shared-fits.md"
MOST = 6
BORDER = 3
"""The largest count of which the true p99 is below the target."""


def rounds_of(
    rng: np.random.Generator, truth: Sequence[float], rounds: int, scatter: float, shared: float
) -> list[list[float]]:
    """p99 of each replica in each round, in units of the target."""
    own = rng.normal(0, scatter * np.sqrt(1 - shared), (len(truth), rounds))
    luck = rng.normal(0, scatter * np.sqrt(shared), rounds)
    values: list[list[float]] = (np.asarray(truth)[:, None] * np.exp(own + luck)).tolist()
    return values


def judge(p99: Sequence[Sequence[float]]) -> Verdict:
    """As `judge_fit` does."""
    return verdict_of([log_t_interval(v) for v in p99], strict_intervals(p99), 1.0)


def verdicts(
    rng: np.random.Generator, truth: Sequence[float], rounds: int, scatter: float, shared: float,
    runs: int,
) -> Counter[str]:  # fmt: skip
    """How often each verdict falls."""
    return Counter(judge(rounds_of(rng, truth, rounds, scatter, shared)) for _ in range(runs))


def answer(
    rng: np.random.Generator, step: float, rounds: int, scatter: float, shared: float
) -> int:
    """The largest count up to which all hold. `step` is by how much one more replica raises p99;
    the target lies in the middle between `BORDER` and one more.
    """
    for count in range(1, MOST + 1):
        truth = [(1 + step) ** (count - BORDER - 0.5)] * count
        if judge(rounds_of(rng, truth, rounds, scatter, shared)) != "holds":
            return count - 1
    return MOST


def _share(count: int, runs: int) -> str:
    return f"{count / runs:.1%}"


def errors(rng: np.random.Generator, runs: int) -> list[str]:
    """Rows: verdicts where the truth is at, below and above the target."""
    rows = []
    for words, off, one in (
        ("all at the target", 1.0, False), ("one at it, the others 20 % below", 0.8, True),
        ("all 10 % below", 0.9, False), ("one 10 % above, the others 20 % below", 0.8, True),
    ):  # fmt: skip
        odd = 1.1 if "above" in words else 1.0
        for count in (2, 4):
            for rounds in (3, 5, 10):
                for shared in (0.0, 0.5):
                    truth = [off] * count if not one else [odd, *[off] * (count - 1)]
                    seen = verdicts(rng, truth, rounds, 0.05, shared, runs)
                    each = (_share(seen[v], runs) for v in ("holds", "undecided", "fails"))
                    line = f"{words} | {count} | {rounds} | {shared:.0%} | {' | '.join(each)}"
                    rows.append(f"| {line} |")
    return rows


def answers(rng: np.random.Generator, runs: int) -> list[str]:
    """Rows: the answer against the truth."""
    rows = []
    for step in (0.1, 0.2, 0.5):
        for scatter in (0.02, 0.05, 0.1):
            for rounds in (3, 5, 10):
                seen = Counter(answer(rng, step, rounds, scatter, 0.3) for _ in range(runs))
                below = sum(n for count, n in seen.items() if count < BORDER)
                above = sum(n for count, n in seen.items() if count > BORDER)
                each = (_share(n, runs) for n in (below, seen[BORDER], above))
                rows.append(f"| {step:.0%} | {scatter:.0%} | {rounds} | {' | '.join(each)} |")
    return rows


def page(runs: int) -> str:
    begin, rng = time.monotonic(), np.random.default_rng(SEED)
    verdict_rows, answer_rows = errors(rng, runs), answers(rng, runs)
    spent = time.monotonic() - begin
    lines = [
        "# How many replicas hold a target: how often the answer is wrong", "",
        f"Written by `python benchmarks/shared_fits.py` ({spent:.0f} s, seed {SEED}, {runs} runs a "
        "row), by the rule that `harness share`\nuses. A replica's p99 scatters over rounds by a "
        "log-normal luck; *shared* is the part of its variance that all replicas\nof a round have "
        "in common.", "", "## Verdicts", "",
        "Scatter 5 %. The error of `holds` is to be at most 2.5 % where one replica or all are at "
        "the target or above; that of `fails`\nlikewise, over all replicas, where none is above.",
        "", "| true p99 | replicas | rounds | shared | holds | undecided | fails |",
        "|---|---|---|---|---|---|---|", *verdict_rows, "", "## Answers", "",
        f"One more replica raises every replica's p99 by the step; {BORDER} hold the target, which "
        f"lies half a step above their p99, and {BORDER + 1} don't.\n30 % of the scatter is "
        "shared. *More* is the harmful error.", "",
        "| step | scatter | rounds | fewer | right | more |", "|---|---|---|---|---|---|",
        *answer_rows, "",
        "So the answer hardly ever says that more hold than do. Where a step is not much larger "
        "than the scatter it says fewer,\nas a count that is undecided does not hold; more rounds "
        "help.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    asked = parser.parse_args()
    asked.output.write_text(page(asked.runs), encoding="utf-8")
    print(asked.output)


if __name__ == "__main__":
    main()
