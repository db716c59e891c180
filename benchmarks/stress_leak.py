"""How often is a leak missed, and a cache called one? Simulated, with curves whose truth is known.

    python benchmarks/stress_leak.py         writes docs/benchmarks/stress-leak.md

A reading a second for an hour (and for ten minutes), 500 MiB, with noise of 1 MiB standard
deviation: AR(1) from second to second, a collector's saw tooth, and a random walk.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from harness.stress.leak import judge_growth

RUNS = 40
SEED = 20_261_128
OUTPUT = Path(__file__).parents[1] / "docs" / "benchmarks" / "stress-leak.md"
KINDS = ("steady", "filled", "growing", "untold")
Floats = NDArray[np.float64]
Curve = Callable[[Floats], Floats]
Noise = Callable[[np.random.Generator, int], Floats]


def correlated(rho: float) -> Noise:
    def make(rng: np.random.Generator, size: int) -> Floats:
        steps = rng.normal(0, np.sqrt(1 - rho**2), size + 1000)
        return np.asarray(lfilter([1.0], [1.0, -rho], steps)[1000:])

    return make


def saw(rng: np.random.Generator, size: int) -> Floats:
    """Up by 5 MiB, and down again when a collector runs, every 40 s or so."""
    gaps = np.cumsum(rng.uniform(20, 60, size))
    since = np.arange(size) - np.concatenate([[0], gaps])[np.searchsorted(gaps, np.arange(size))]
    return np.asarray(since / 8 + rng.normal(0, 0.2, size))


def walk(rng: np.random.Generator, size: int) -> Floats:
    """Memory that wanders: 0.05 MiB a second, 3 MiB in an hour."""
    return np.cumsum(rng.normal(0, 0.05, size))


NOISES: dict[str, Noise] = {
    "AR(1) .9": correlated(0.9), "AR(1) .99": correlated(0.99), "saw tooth": saw,
    "random walk": walk,
}  # fmt: skip
CURVES: dict[str, Curve] = {
    "nothing": lambda m: 0 * m,
    "leak, 1 MiB a minute": lambda m: m,
    "leak, 0.2 MiB a minute": lambda m: 0.2 * m,
    "leak after a warm-up of 50 MiB": lambda m: m + 50 * (1 - np.exp(-m / 3)),
    "cache to 200 MiB, time constant 3 min": lambda m: 200 * (1 - np.exp(-m / 3)),
    "cache to 200 MiB, time constant 10 min": lambda m: 200 * (1 - np.exp(-m / 10)),
    "cache to 200 MiB, evenly, full after 20 min": lambda m: 200 * np.minimum(m / 20, 1),
    "cache to 200 MiB, time constant 30 min": lambda m: 200 * (1 - np.exp(-m / 30)),
}
LEAKS = {name for name in CURVES if name.startswith("leak")}


def wrong(name: str) -> tuple[str, ...]:
    """Verdicts that are not true of this memory; `untold` never is wrong."""
    if name in LEAKS:
        return "steady", "filled"
    return ("filled", "growing") if name == "nothing" else ("steady", "growing")


def verdicts(curve: Curve, noise: Noise, minutes: int, runs: int) -> tuple[Counter[str], int]:
    """How often each verdict came, and how often the interval held the true slope at the end."""
    seconds = np.arange(0, minutes * 60.0)
    m, found, held = seconds / 60, Counter[str](), 0
    half = len(m) // 2
    truth = 60 * (curve(m)[-1] - curve(m)[half]) / (m[-1] - m[half])
    for run in range(runs):
        rng = np.random.default_rng([SEED, run])
        growth = judge_growth(seconds, 500 + curve(m) + noise(rng, len(m)))
        assert growth is not None
        found[growth.kind] += 1
        held += growth.low <= truth <= growth.high
    return found, held


def page(runs: int) -> str:
    began = time.monotonic()
    head = "| memory | noise | minutes | " + " | ".join((*KINDS, "wrong"))
    head += " | interval holds the slope |"
    rows = [head, "|---" * (head.count("|") - 1) + "|"]
    for name, curve in CURVES.items():
        for label, noise in NOISES.items():
            for minutes in (60, 10) if label == "AR(1) .9" else (60,):
                found, held = verdicts(curve, noise, minutes, runs)
                shares = " | ".join(f"{found[k] / runs:.0%}" for k in KINDS)
                false = sum(found[k] for k in wrong(name))
                shares += f" | {false / runs:.0%}"
                shown = f"{held / runs:.0%}" if name in LEAKS | {"nothing"} else ""
                rows.append(f"| {name} | {label} | {minutes} | {shares} | {shown} |")
    return "\n".join([
        "# Leak or cache: how often is the verdict wrong?\n",
        f"Written by `python benchmarks/stress_leak.py` ({time.monotonic() - began:.0f} s, seed "
        f"{SEED}, {runs} soaks a row).",
        "A leak is found where the verdict is `growing`; a cache is taken for one where it is. "
        "`untold` says that",
        "a longer soak must decide, and how long it must last: the right answer for a cache that "
        "is not full yet, and",
        "no answer for a leak. No soak of less than an hour is said to leak, for nothing in its "
        "curve tells a leak",
        "from what will be full later. `wrong` sums up the verdicts that are not true; in "
        f"{runs} soaks a share of 0 is",
        f"below {3 / runs:.0%} with 95 % confidence.\n",
        *rows,
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    options.output.write_text(page(options.runs), encoding="utf-8")
    print(options.output.read_text(encoding="utf-8"))
