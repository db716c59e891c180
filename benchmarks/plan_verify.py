"""How far off is the smallest size that works? Simulated searches, with thresholds that are known.

    python benchmarks/plan_verify.py         writes docs/benchmarks/plan-verify.md

A trial of one round holds at a size m with probability logistic((m - T) / s): T is the size at
which it holds half the time, s how wide the border is. A full trial holds where each of its three
rounds does. A trial decides nothing with a probability of its own, whatever the size.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from harness.plan.proving import Proof, Trial, prove, resolution

SEED = 20_261_128
REQUEST, ROUNDS = 2200, 3
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "plan-verify.md"
SURE = 0.9
"""A size works where a full trial holds so often."""


def chance(size: int, threshold: float, width: float) -> float:
    """That one round holds."""
    if width == 0:
        return float(size >= threshold)
    return float(1 / (1 + np.exp(-np.clip((size - threshold) / width, -50, 50))))


def search(rng: np.random.Generator, threshold: float, width: float, dumb: float) -> Proof:
    """One search; `width` in MiB, `dumb` the share of trials that decide nothing."""

    def try_(mib: int, full: bool) -> Trial:
        rounds = ROUNDS if full else 1
        held = bool(np.all(rng.random(rounds) < chance(mib, threshold, width)))
        if rng.random() < dumb:
            return Trial(mib, "undecided", "", full)
        return Trial(mib, "holds" if held else "fails", "", full)

    return prove("gpu_memory", REQUEST, try_, per_process=True, guess=round(REQUEST / 1.1))


def surely(threshold: float, width: float) -> float:
    """The least size at which a full trial holds with `SURE`."""
    one = SURE ** (1 / ROUNDS)
    return threshold + width * float(np.log(one / (1 - one)))


def row(share: float, width: float, dumb: float, runs: int, rng: np.random.Generator) -> str:
    off, often, none, trials = [], [], 0, []
    for _ in range(runs):  # where the border lies between two sizes that are tried is chance
        threshold = share * REQUEST + rng.uniform(0, resolution(REQUEST))
        proof = search(rng, threshold, width * threshold, dumb)
        trials.append(len(proof.trials))
        if proof.smallest is None:
            none += 1
            continue
        true = surely(threshold, width * threshold)
        off.append((proof.smallest.mib - true) / true * 100)
        often.append(chance(proof.smallest.mib, threshold, width * threshold) ** ROUNDS)
    low, middle, high = np.percentile(off, [5, 50, 95])
    return (
        f"| {share:.0%} | {width:.0%} | {dumb:.0%} | {middle:+.1f} % ({low:+.1f} to {high:+.1f}) "
        f"| {np.mean(np.array(often) < 0.5):.1%} | {none / runs:.1%} | {np.mean(trials):.1f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    args = parser.parse_args()
    began, rng = time.monotonic(), np.random.default_rng(SEED)
    lines = [
        row(share, width, dumb, args.runs, rng)
        for share in (0.2, 0.5, 0.87, 0.95)
        for width in (0.0, 0.01, 0.03)
        for dumb in (0.0, 0.1)
    ]
    OUTPUT.write_text(
        "# The smallest size that works: how far off is it?\n\n"
        f"Written by `python benchmarks/plan_verify.py` ({time.monotonic() - began:.0f} s, seed "
        f"{SEED}, {args.runs} searches a row), by the code that `harness plan --verify` runs, on\n"
        f"trials whose truth is known. The request is {REQUEST} MiB, made of a peak of "
        f"{round(REQUEST / 1.1)}, from which the search begins; a round holds half the time "
        "at the given share of it and up to a resolution more, and the border is as wide as "
        "said\n(the scale of a logistic curve, as a share of that size; 0: the same size always "
        "fails or always holds). Some "
        "trials decide nothing.\n\n"
        "`Found against true`: the median, and where 90 % of the searches lie; true is the least "
        f"size at which a full trial,\n{ROUNDS} rounds, holds {SURE:.0%} of the time. `Holds less "
        "than half the time`: searches whose answer a third full trial would\nrather refute. `No "
        "answer`: the request itself was not shown to hold.\n\n"
        "| threshold | border | undecided | found against true | holds less than half the time "
        "| no answer | trials |\n|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
