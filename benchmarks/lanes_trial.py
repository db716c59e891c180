"""How often a trial of lanes calls a point disturbed that is not, and one that is: simulated.

    PYTHONPATH=. python benchmarks/lanes_trial.py --trials 4000 --output docs/benchmarks

Rounds of both sides are drawn log-normal, with a scatter from round to round; the truth is how fast
the point is beside other lanes. A minute.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np

from harness.fleet.trial import MARGIN, ROUNDS, Tried, ratio

SCATTERS = (0.005, 0.01, 0.03, 0.1)
TRUTHS = (1.0, 0.99, 0.97, 0.95, 0.9, 0.8, 0.5)
SEED = 20261129


def share(truth: float, scatter: float, trials: int, rng: np.random.Generator) -> float:
    """Of trials that say disturbed."""
    logs = rng.normal(0, scatter, (trials, 2, ROUNDS))
    logs[:, 0] += math.log(truth)
    said = [Tried("a", "a/b1/c1", ratio(*np.exp(sides))).disturbed for sides in logs]
    return sum(said) / trials


def page(trials: int) -> str:
    """The table."""
    rng = np.random.default_rng(SEED)
    lines = [
        "# Are points slower beside other lanes? Error rates of the trial", "",
        f"Before a run over several devices a point of each backend is measured {ROUNDS} rounds "
        f"alone and {ROUNDS} beside full lanes ([many-gpus](../many-gpus.md)), and called "
        "disturbed where the interval of the ratio lies below 1 and the ratio by "
        f"{MARGIN:.0%} or more. Simulated: {trials:,} trials a cell, rounds log-normal. Share of "
        "trials that say disturbed:", "",
        "| beside other lanes as fast as alone | " + " | ".join(
            f"rounds scatter by {s:.1%}" for s in SCATTERS) + " |",
        "|---|" + "---:|" * len(SCATTERS),
    ]  # fmt: skip
    for truth in TRUTHS:
        found = [share(truth, scatter, trials, rng) for scatter in SCATTERS]
        lines.append(f"| {truth:.0%} | " + " | ".join(f"{f:.1%}" for f in found) + " |")
    return "\n".join([
        *lines, "",
        f"Reproduce: `PYTHONPATH=. python benchmarks/lanes_trial.py --trials {trials} --output "
        "docs/benchmarks`", "",
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=4000)
    parser.add_argument("--output", type=Path)
    asked = parser.parse_args()
    text = page(asked.trials)
    print(text)
    if asked.output:
        (asked.output / "lanes-trial.md").write_text(text)


if __name__ == "__main__":
    main()
