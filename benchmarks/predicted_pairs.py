"""How far off interference is that was predicted from stressors: simulated, with a known truth.

    python benchmarks/predicted_pairs.py     writes docs/benchmarks/predicted-pairs.md

A workload is the shares of time that a request spends at each of six stations, alone: five of a
device (multiprocessors, memory, copies in, copies out, launches), and its own host, which nobody
shares. Two are slowed down by what they do at the same stations. In the world `even`, a station
shares its rate evenly: the time there grows by the other's share of time there. In `spare`, a
station has room for both until their shares fill it, and only what is beyond that slows them down
(as kernels that fit beside each other under MPS). `half` is the mean of both. Stressors use their
own station most of the time, and others a little. Every mean that is measured has an error of its
own.

`predict` of harness.tenants.predicting, adding utilisations and iGniter's formula then say what
each two workloads do to one another; `one of copies` is `predict` with one stressor that copies
both ways, half of its time each, in place of two. The world `even` is the one that `predict` takes
for true.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from harness.tenants.predicting import (
    Pair,
    Probed,
    by_igniter,
    by_utilisation,
    errors,
    predict,
)

OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "predicted-pairs.md"
SEED = 20_261_129
STATIONS = ("compute", "memory", "copies in", "copies out", "launches")
IN, OUT = STATIONS.index("copies in"), STATIONS.index("copies out")
BOTH_WAYS = "copies both ways"
"""A stressor that spends half of its time at each of the two."""
WORKLOADS = 5
WORLDS = {"even": 0.0, "half": 0.5, "spare": 1.0}
NOISES = (0.0, 0.01, 0.03)
IMPURE = (0.0, 0.15, 0.3)
"""The share of a stressor's time that it spends at other stations than its own."""
Floats = NDArray[np.float64]


def shares(rng: np.random.Generator, impure: float) -> dict[str, Floats]:
    """Of workloads and stressors: the share of time at each station; the rest is on the host."""
    found = {
        f"w{i}": rng.dirichlet([0.7] * len(STATIONS)) * rng.uniform(0.4, 1.0)
        for i in range(WORKLOADS)
    }
    for place, station in enumerate(STATIONS):
        spilt = rng.dirichlet([1.0] * len(STATIONS)) * impure
        found[station] = 0.95 * (spilt + (1 - impure) * np.eye(len(STATIONS))[place])
    found[BOTH_WAYS] = (found[STATIONS[IN]] + found[STATIONS[OUT]]) / 2
    return found


def slow_down(one: Floats, other: Floats, spare: float) -> float:
    """True: the mean time of a request of `one` beside `other`, over that alone."""
    even = one * other
    beyond = np.maximum(0.0, one + other - 1)  # of the time that both want there
    return 1.0 + float(((1 - spare) * even + spare * beyond).sum())


def trial(
    rng: np.random.Generator, world: str, noise: float, impure: float
) -> dict[str, list[float]]:
    """The errors of each method over all ordered pairs of different workloads."""
    use = shares(rng, impure)
    workloads = [name for name in use if name not in (*STATIONS, BOTH_WAYS)]

    def measured(row: str, column: str) -> float:
        truth = slow_down(use[row], use[column], WORLDS[world])
        return truth * float(np.exp(rng.normal(0, noise) - rng.normal(0, noise)))

    def probed_with(stressors: Sequence[str]) -> Probed:
        names: list[Pair] = sorted(Probed(workloads, stressors, {}).needed)
        return Probed(workloads, stressors, {pair: measured(*pair) for pair in names})

    probed = probed_with(STATIONS)
    one = [*STATIONS[:IN], BOTH_WAYS, *STATIONS[OUT + 1 :]]
    truth = {
        (a, b): slow_down(use[a], use[b], WORLDS[world])
        for a in workloads for b in workloads if a != b
    }  # fmt: skip
    busy = {name: float(use[name].sum()) for name in workloads}
    by: dict[str, Mapping[Pair, float]] = {
        "stressors": predict(probed),
        "one of copies": predict(probed_with(one)),
        "iGniter's formula": by_igniter(probed, "memory", STATIONS[IN : OUT + 1], "launches"),
        "adding utilisations": by_utilisation(probed, busy),
    }
    return {name: errors(found, truth) for name, found in by.items()}


def simulate(trials: int, seed: int = SEED) -> dict[tuple[str, float, float], dict[str, Floats]]:
    """World, noise and impurity → method → every error."""
    rng = np.random.default_rng(seed)
    found = {}
    for world in WORLDS:
        for noise in NOISES:
            for impure in IMPURE:
                every = [trial(rng, world, noise, impure) for _ in range(trials)]
                found[world, noise, impure] = {
                    name: np.concatenate([one[name] for one in every]) for name in every[0]
                }
    return found


def page(found: Mapping[tuple[str, float, float], Mapping[str, Floats]], trials: int) -> str:
    """Mean error and the 95th percentile, a row each."""
    methods = list(next(iter(found.values())))
    rows = [
        f"| {world} | {noise:.0%} | {impure:.0%} | " + " | ".join(
            f"{100 * each[m].mean():.1f} ({100 * np.percentile(each[m], 95):.0f})" for m in methods
        ) + " |"
        for (world, noise, impure), each in found.items()
    ]  # fmt: skip
    doc = (__doc__ or "").split("\n\n", 2)[2].strip()
    return (
        "# Interference predicted from stressors, simulated\n\n"
        f"Written by `python benchmarks/predicted_pairs.py` ({trials} trials of {WORKLOADS} "
        f"workloads a row, seed {SEED}).\n\n{doc}\n\n"
        "Mean error of the slow-downs in %, and in brackets the 95th percentile:\n\n"
        f"| world | error of a mean | stressors elsewhere | {' | '.join(methods)} |\n"
        f"|---|---|---|{'---|' * len(methods)}\n" + "\n".join(rows) + "\n\n"
        "What this does not show: how near a device is to either world. "
        "`benchmarks/gpu/interference.py` asks pairs that ran together on a GPU.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    args = parser.parse_args()
    args.output.write_text(page(simulate(args.trials), args.trials), encoding="utf-8")
    print(args.output)


if __name__ == "__main__":
    main()
