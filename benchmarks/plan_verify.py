"""How far off is the smallest size that works? Simulated searches, with thresholds that are known.

    python benchmarks/plan_verify.py         writes docs/benchmarks/plan-verify.md

A trial of one round holds at a size m with probability logistic((m - T) / s): T is the size at
which it holds half the time, s how wide the border is. A full trial holds where each of its three
rounds does. A trial decides nothing with a probability of its own, whatever the size.

And: is a request whose rounds end where the planned ones are clear of the target verified wrongly
more often than one that has all rounds? The logs of the rounds' p99 are
normal; the interval is the one that a trial is judged by, the added rounds are those of a run.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np

from harness.analysis.intervals import log_t_interval
from harness.plan.proving import Proof, Trial, prove, resolution
from harness.plan.trial import CLEAR, clear
from harness.scenario.wording import signed

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
    low, middle, high = (signed(v, ".1f") for v in np.percentile(off, [5, 50, 95]))
    return (
        f"| {share:.0%} | {width:.0%} | {dumb:.0%} | {middle} % ({low} to {high}) "
        f"| {np.mean(np.array(often) < 0.5):.1%} | {none / runs:.1%} | {np.mean(trials):.1f} |"
    )


PLANNED, MOST, NARROW = 5, 15, 0.05
"""Rounds of the standard profile, the most, and the half-width of p99 that is narrow enough."""


def look(rng: np.random.Generator, ratio: float, sd: float, early: bool) -> tuple[str, int]:
    """One full trial whose true p99 is `ratio` of the target: what it says, and its rounds."""
    values = list(ratio * np.exp(rng.normal(0, sd, PLANNED)))
    found = log_t_interval(values)
    if not (early and clear(found, 1.0)):
        half = found.half_width or 0.0
        rounds = min(MOST, max(PLANNED, math.ceil(PLANNED * (half / NARROW) ** 2)))
        values += list(ratio * np.exp(rng.normal(0, sd, rounds - PLANNED)))
        found = log_t_interval(values, first=PLANNED)
    assert found.low is not None
    assert found.high is not None
    if found.high <= 1:
        return "holds", len(values)
    return ("fails" if found.low > 1 else "undecided"), len(values)


def request(rng: np.random.Generator, ratio: float, sd: float, early: bool) -> tuple[str, int]:
    """The request, tried again where the first trial decides nothing: the answer, all rounds."""
    outcome, rounds = look(rng, ratio, sd, early)
    if outcome == "undecided":
        outcome, more = look(rng, ratio, sd, early)
        rounds += more
    return outcome, rounds


def looks(ratio: float, sd: float, runs: int, rng: np.random.Generator) -> str:
    cells = []
    for early in (False, True):
        made = [request(rng, ratio, sd, early) for _ in range(runs)]
        verified = np.mean([outcome == "holds" for outcome, _ in made])
        failed = np.mean([outcome == "fails" for outcome, _ in made])
        rounds = np.mean([rounds for _, rounds in made])
        cells.append(f"{verified:.1%} | {failed:.1%} | {rounds:.1f}")
    return f"| {ratio:.2f} | {sd:.0%} | {' | '.join(cells)} |"


def rounds_page(runs: int) -> str:
    """Whether the request passes wrongly more often where rounds end early."""
    rng = np.random.default_rng(SEED + 1)
    lines = [
        looks(ratio, sd, runs, rng)
        for ratio in (0.5, 0.9, 0.97, 1.0, 1.03, 1.1)
        for sd in (0.02, 0.05, 0.15)
    ]
    return (
        "\n## Rounds of the request's own trial\n\n"
        f"p99 is so much of the target, and its rounds scatter so much; {runs} requests a row. "
        f"All rounds: {PLANNED} planned, up to {MOST} until ±{NARROW:.0%}.\nAs it is: none is "
        f"added where the planned ones lie {CLEAR:g} half-widths from the target. A trial that "
        "decides nothing is made again. From 1.00 on `verified` is false.\n\n"
        "| true p99 | scatter | all rounds: verified | fails | rounds | as it is: verified "
        "| fails | rounds |\n|---|---|---|---|---|---|---|---|\n" + "\n".join(lines) + "\n"
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
        "| no answer | trials |\n|---|---|---|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n"
        + rounds_page(2 * args.runs),
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
