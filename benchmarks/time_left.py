"""Is what `harness run` says of the time left true? Simulated, on machines of 2 to 20 % noise.

    python benchmarks/time_left.py        writes docs/benchmarks/time-left.md

Whole runs on a clock of their own: rounds, search, estimate and display are the harness's, only the
measuring is drawn (`tests/support/simulated_progress.py`). From the second minute on until two
windows before the end, each thing that is said is held against the end that came.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator, Mapping
from multiprocessing import Pool
from pathlib import Path
from typing import Any

import numpy as np
from simulated import write_page

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.simulated_progress import PLAIN, QUICK, TRITON, Said, Simulated

NOISE, RUNS, SEED = (0.02, 0.05, 0.1, 0.2), 2, 0
SMALL = {**TRITON, "instances": [1, 2], "dynamic_batching": [False, True]}
SPACES = {
    4: SMALL,
    16: {**SMALL, "max_batch_size": [4, 8, 16, 32]},
    32: {**SMALL, "max_batch_size": [4, 8, 16, 32], "instances": [1, 2, 3, 4]},
}
CAPACITY = {"find_capacity": {"latency_p99_ms": 50}}
STANDARD = {"profile": "standard"}


def scenarios() -> Iterator[tuple[str, Mapping[str, Any], float]]:
    """Name, sections of the scenario, how much slower a config is for each step from the best."""
    for method, (size, space), step in itertools.product(
        ("grid", "halving", "quick"), SPACES.items(), (0.1, 0.02)
    ):
        if (method, size) != ("grid", 32):
            name = f"{method}, {size} configs, {100 * step:g} % apart"
            yield name, {"backends": [space], "search": method}, step
    more = {"backends": [SPACES[16]], "search": "halving", "measurement": STANDARD}
    yield "halving, 16 configs, rounds until narrow", more, 0.1
    yield "no search, rounds until narrow", {"backends": PLAIN, "measurement": STANDARD}, 0.1
    capacity = {"backends": PLAIN, "load": CAPACITY}
    yield "capacity", capacity, 0.1
    yield "capacity, rounds until narrow", {**capacity, "measurement": STANDARD}, 0.1
    yield "capacity, 4 configs", {"backends": [SMALL], "load": CAPACITY}, 0.1


def said(job: tuple[Mapping[str, Any], float, float, int]) -> list[Said]:
    """What was said in one run."""
    sections, step, noise, seed = job
    written = {
        "scenario": "s",
        "model": {"name": "m", "source": {"torch": "m:n"},
                  "inputs": [{"name": "x", "shape": ["batch", 3]}]},
        "load": {"batch_sizes": [1, 8], "concurrency": [1, 4]}, "measurement": QUICK, **sections,
    }  # fmt: skip
    return Simulated(written, SEED + seed, noise=noise, step=step).run()


def report(runs: int) -> str:
    """The page's text."""
    every: list[Said] = []
    lines = []
    with Pool() as pool:
        for name, sections, step in scenarios():
            cells = []
            for noise in NOISE:
                jobs = [(sections, step, noise, seed) for seed in range(runs)]
                found = [s for one in pool.map(said, jobs, 1) for s in one]
                every += found
                wide = [s.high / s.low for s in found if s.ranged]
                middle = f", {np.median(wide):.1f}" if wide else ""
                ranges = f"{100 * len(wide) / len(found):.0f} %{middle}"
                cells.append(f"{100 * np.mean([s.right for s in found]):.0f} % ({ranges})")
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    right = 100 * np.mean([s.right for s in every])
    one = 100 * np.mean([not s.ranged for s in every])
    grown = np.array([s.grown for s in every])
    return "\n".join([
        "",
        f"{runs} runs a cell, {len(every)} readings, each against the end that came: "
        f"**{right:.1f} % are true**.",
        f"{one:.0f} % are one number, true within a factor of 1.5; the others are a range, true if",
        "the end lies in it. A cell: how many are true, in brackets how many a range and by how",
        "much its ends differ in the median. *Apart*: how much slower a config is for each step",
        "from the best on one axis. Noise is the scatter of a point's rounds.",
        "",
        "| run | " + " | ".join(f"{100 * n:g} %" for n in NOISE) + " |",
        "|---" * (1 + len(NOISE)) + "|",
        *lines,
        "",
        "Ranges come from what nobody can know: in the first round how much rounds will scatter,",
        "then which of the configs that are alike chance will tell apart. What is said may grow:",
        f"{100 * np.mean(grown > 1.1):.1f} % of the readings are more than a tenth above the one",
        "before, less the time since. The last two windows, when one decides, are left out.",
        "",
    ])  # fmt: skip


if __name__ == "__main__":
    write_page("The time left", __doc__ or "", report, runs=RUNS, seed=SEED, page="time-left.md")
