"""How often two stored runs of the same thing are called different, and what is found: simulated.

    python benchmarks/compare_runs.py        writes docs/benchmarks/compare-runs.md

A run has an effect of its own and rounds scatter around it, both normal on logs. The run effect is
learned from as many whole runs as `harness calibrate` makes, drawn anew each time, and two further
runs are compared by `harness.compare.judging.between_runs`. Beside it two rules that know nothing
of runs: Welch's t over the rounds with the same tolerance, and two medians that differ by 5 %.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from harness.compare.judging import STORED_LEVEL, RunEffect, between_runs
from harness.compare.verdicts import Verdict
from harness.scenario.metrics import PRIMARY

EFFECTS = ((0.0, 0.01), (0.005, 0.01), (0.01, 0.01), (0.02, 0.01))
"""Standard deviations of the run and of the round effect."""
SLOWER = (0.0, 0.05, 0.1)
CALIBRATION_RUNS = (4, 8)
ROUNDS, CALIBRATION_ROUNDS = 5, 10
RUNS = 1_000
SEED = 20_261_128
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "compare-runs.md"
Float64 = NDArray[np.float64]
CHANGED = (Verdict.REGRESSION, Verdict.IMPROVEMENT)


class Line(NamedTuple):
    run: float
    round: float
    learned: int
    slower: float
    changed: float
    equivalent: float
    welch: float
    medians: float


def learn(rng: np.random.Generator, run: float, round_: float, runs: int) -> RunEffect:
    """As `harness.compare.effects.effects_of` estimates it."""
    shape = (runs, CALIBRATION_ROUNDS)
    logs = rng.normal(0, run, (runs, 1)) + rng.normal(0, round_, shape)
    within = float(logs.var(axis=1, ddof=1).mean())
    between = max(0.0, float(logs.mean(axis=1).var(ddof=1)) - within / CALIBRATION_ROUNDS)
    return RunEffect({"p50": between}, {"p50": within}, runs)


def line(run: float, round_: float, learned: int, slower: float, runs: int) -> Line:
    rng = np.random.default_rng([SEED, int(1e4 * run), learned, int(1e3 * slower)])
    counts = np.zeros(4)
    for _ in range(runs):
        effect = learn(rng, run, round_, learned)
        a, b = (
            rng.normal(0, run) + rng.normal(0, round_, ROUNDS) + shift
            for shift in (0.0, np.log1p(slower))
        )
        one, other = ({"p50": dict(enumerate(np.exp(logs).tolist()))} for logs in (a, b))
        (judged,) = between_runs(one, other, [PRIMARY["p50"]], effect, STORED_LEVEL)
        beyond = abs(b.mean() - a.mean()) > np.log1p(PRIMARY["p50"].margin)
        counts += (
            judged.verdict in CHANGED,
            judged.verdict is Verdict.EQUIVALENT,
            bool(beyond and stats.ttest_ind(a, b, equal_var=False).pvalue < STORED_LEVEL),
            bool(abs(np.median(b) - np.median(a)) > np.log1p(0.05)),
        )
    return Line(run, round_, learned, slower, *(counts / runs))


def page(lines: list[Line], runs: int) -> str:
    head = (
        "| run effect | rounds | learned from | planted | called different | EQUIVALENT "
        "| Welch over rounds | medians, 5 % |\n|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    rows = [
        f"| {100 * x.run:g} % | {100 * x.round:g} % | {x.learned} runs | {100 * x.slower:g} % "
        f"| {100 * x.changed:.1f} % | {100 * x.equivalent:.1f} % | {100 * x.welch:.1f} % "
        f"| {100 * x.medians:.1f} % |"
        for x in lines
    ]
    worst = max(x.changed for x in lines if not x.slower)
    text = TEXT.format(runs=f"{runs:,}", rounds=ROUNDS, learned=CALIBRATION_ROUNDS)
    return "\n".join([text, head, *rows, AFTER.format(worst=f"{100 * worst:.1f}")])


TEXT = """# Two stored runs: how often the verdict is wrong, and what it finds

Made by `python benchmarks/compare_runs.py` from simulated runs; nothing here was measured. Each
line is {runs} comparisons of two runs of {rounds} rounds. Standard deviations are of logs. The run
effect is learned from whole runs of {learned} rounds, drawn anew for each comparison, as
`harness calibrate` does it.
"""
AFTER = """
Without a difference it is called different in at most {worst} %. A rule that takes the rounds for
replicates calls the luck of two runs a difference, more often the larger the run effect. Few runs
to learn from make few degrees of freedom and wide intervals: measuring both in one run needs none
of this ([verdicts](verdicts.md)).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    begin = time.monotonic()
    lines = [
        line(run, round_, learned, slower, options.runs)
        for run, round_ in EFFECTS
        for learned in CALIBRATION_RUNS
        for slower in SLOWER
    ]
    options.output.write_text(page(lines, options.runs), encoding="utf-8")
    print(f"{options.output} in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
