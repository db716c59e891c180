"""How far off is the fitted GPU memory? On recorded runs, and simulated with known truth.

python benchmarks/memory_model.py [RUN_DIR…]     writes docs/benchmarks/memory-model.md
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.analysis.summary import SummaryRow, summarize
from harness.plan.memory_model import ALPHA, Combination, MemoryModel, fit_memory, instances_of
from harness.results.rows import MeasurementRow
from harness.results.store import read_run

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "docs" / "benchmarks" / "memory-model.md"
SEED = 20_261_128
Truth = Callable[[int, int], float]
TRUTHS: dict[str, Truth] = {
    "linear": lambda b, c: 900 + 250 * c + 3 * b + 2.5 * b * c,
    "an allocator that doubles": lambda b, c: 900 + 250 * c + 2 ** np.ceil(np.log2(5 * b * c)),
    "a cache that saturates": lambda b, c: 900 + 250 * c + 2000 * (1 - np.exp(-b * c / 100)),
}
GRIDS = {
    "3 × 3": [(b, c) for b in (1, 8, 64) for c in (1, 4, 16)],
    "4 × 3": [(b, c) for b in (1, 4, 16, 64) for c in (1, 4, 16)],
    "6 × 4": [(b, c) for b in (1, 2, 8, 16, 32, 64) for c in (1, 2, 8, 16)],
}
NEW = [(2, 2), (4, 8), (12, 2), (24, 12), (48, 6), (3, 14)]
"""Combinations inside the grids that none of them has."""


def recorded(directory: Path) -> Iterator[str]:
    """A row a backend: its terms, each point by the others, and how often the range held it."""
    data = read_run(directory)
    rows = summarize(data.measurements, data.failures)
    for backend in dict.fromkeys(row.backend for row in rows):
        copies = instances_of(data, backend, 1)
        model = fit_memory(rows, backend, copies)
        if model is None or len({mib for _, mib in model.points}) < 3:
            continue  # the same everywhere: nothing to predict
        held = sum(_held(rows, backend, copies, combination, mib)
                   for combination, mib in model.points)  # fmt: skip
        terms = " + ".join(f"{size:.4g} {name}" for name, size in model.coefficients.items()
                           if size >= 0.05)  # fmt: skip
        yield (
            f"| {directory.name} | {backend} | {len(model.points)} | {terms} | {model.typical:.1%} "
            f"| {model.worst:.1%} | {held} of {len(model.points)} |"
        )


def _held(
    rows: list[SummaryRow], backend: str, copies: dict[str, int], left: Combination, mib: float
) -> bool:
    """Whether the range of the model of all other points holds this one."""
    others = [r for r in rows if (r.batch_size, r.concurrency) != (left.batch, left.callers)]
    model = fit_memory(others, backend, copies)
    if model is None:
        return False
    found = model.at(left)
    return found.low <= mib <= found.high


def simulated(name: str, grid: str, noise: float, runs: int) -> str:
    """Errors and coverage at combinations that were not measured."""
    rng, truth = np.random.default_rng(SEED), TRUTHS[name]
    errors, held = [], 0
    for _ in range(runs):
        model = _model(truth, GRIDS[grid], noise, rng)
        for b, c in NEW:
            new = truth(b, c) * (1 + noise * rng.standard_normal())
            found = model.at(Combination(b, c))
            errors.append(abs(found.mib / new - 1))
            held += found.low <= new <= found.high
    typical, bad = np.percentile(errors, [50, 95])
    return (
        f"| {name} | {grid} | {noise:.0%} | {typical:.1%} | {bad:.1%} | {held / len(errors):.1%} |"
    )


def _model(
    truth: Truth, grid: list[tuple[int, int]], noise: float, rng: np.random.Generator
) -> MemoryModel:
    rows = [replace(_ROW, point=f"a/b{b}/c{c}", batch_size=b, concurrency=c,
                    gpu_memory_mib=truth(b, c) * (1 + noise * rng.standard_normal()))
            for b, c in grid]  # fmt: skip
    model = fit_memory(summarize(rows), "a", {})
    assert model is not None
    return model


_ROW = MeasurementRow(
    point="", round=0, backend="a", config="default", batch_size=1, concurrency=1,
    request_rate=None, started="2026-01-02T03:04:05+00:00", window_begin_ns=0,
    window_end_ns=10**9, requests=100, errors=0, throughput=100.0, latency_mean_ms=1.0,
    latency_ms={"p50": 1.0}, latency_order_ms={},
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    kept = ROOT / "tests" / "data" / "runs"
    runs = [ROOT / "reports" / "sample", *sorted(kept.glob("h200-*"))]
    parser.add_argument("runs", nargs="*", type=Path, default=runs)
    parser.add_argument("--simulations", type=int, default=300)
    args = parser.parse_args()
    began = time.monotonic()
    real = [line for directory in args.runs for line in recorded(directory)]
    cells = [simulated(name, grid, noise, args.simulations)
             for name in TRUTHS for grid in GRIDS for noise in (0.01, 0.05)]  # fmt: skip
    OUTPUT.write_text(
        "# The fitted GPU memory: how far off is it?\n\n"
        f"Written by `python benchmarks/memory_model.py` ({time.monotonic() - began:.0f} s, seed "
        f"{SEED}), by the code that `harness plan --at` runs.\n\n"
        "## On recorded runs\n\nEach point predicted by the model of all the others, relative to "
        "what was measured, and whether the range that the\nothers give held it. Backends whose "
        "memory was the same everywhere are left out. MiB for each term.\n\n"
        "| run | backend | points | terms | median error | largest | range held it |\n"
        "|---|---|---|---|---|---|---|\n" + "\n".join(real) + "\n\n"
        "What is held out of a grid of nine is at its edge eight times, so that most of these are "
        "extrapolations of the others.\n\n"
        "## Simulated\n\n"
        f"{args.simulations} models a row, each asked for {len(NEW)} combinations inside its grid "
        "that it has not seen. The range promises\n"
        f"{1 - 2 * ALPHA:.0%} where combinations are exchangeable; two of the truths are none that "
        "the model can express.\n\n"
        "| memory | grid, batch × callers | noise | median error | 95th percentile | range held it "
        "|\n|---|---|---|---|---|---|\n" + "\n".join(cells) + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
