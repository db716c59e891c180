"""What leaving disturbed rounds out does to a point's interval, and what a rule on values would.

    python benchmarks/disturbed.py            writes docs/benchmarks/disturbed.md

Rounds of a point of 250 inferences a second scatter by 2 %. In some, other processes use the CPUs:
that is seen (`foreign_load`) whatever it does to the value, and slows the round by nothing to twice
what *slower* says. The point goes on until it has five undisturbed rounds, at most ten in all.
*Left out for the cause* is what the harness does, by `harness.analysis.summary`; *all kept* is the
same rounds without the flags; *left out for the value* leaves out every round that lies more than
two robust standard deviations from the median, which no cause asks for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from simulated import write_page

from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import summarize
from harness.results.rows import MeasurementRow
from harness.scenario.wording import signed

TRUE, SCATTER, WANTED, MOST, RUNS, SEED = 250.0, 0.02, 5, 10, 4000, 20_261_129
CELLS = [(share, slower) for share in (0.0, 0.2, 0.4) for slower in (0.0, 0.05, 0.3)
         if share or not slower]  # fmt: skip
Float64 = NDArray[np.float64]


def row(number: int, value: float, flags: tuple[str, ...]) -> MeasurementRow:
    """As much of a row as a summary reads."""
    return MeasurementRow(
        point="a/b1/c1", round=number, backend="a", config="default", batch_size=1, concurrency=1,
        request_rate=None, started="", window_begin_ns=0, window_end_ns=10**9, requests=250,
        errors=0, throughput=value, latency_mean_ms=1e3 / value, latency_ms={},
        latency_order_ms={}, flags=flags,
    )  # fmt: skip


def rounds(rng: np.random.Generator, share: float, slower: float) -> tuple[Float64, list[bool]]:
    """Values, and whether each was disturbed, until there are enough."""
    values: list[float] = []
    disturbed: list[bool] = []
    while disturbed.count(False) < WANTED and len(values) < MOST:
        disturbed.append(bool(rng.random() < share))
        cost = rng.uniform(0, 2 * slower) if disturbed[-1] else 0.0
        values.append(TRUE * math.exp(rng.normal(0, SCATTER) - cost))
    return np.array(values), disturbed


def summary(values: Sequence[float], disturbed: Sequence[bool]) -> Interval:
    """The point's throughput as the report has it."""
    flags = [("foreign_load",) if d else () for d in disturbed]
    every = enumerate(zip(values, flags, strict=True))
    (found,) = summarize(row(n, float(v), f) for n, (v, f) in every)
    assert found.throughput is not None
    return found.throughput


def by_value(values: Float64) -> Interval:
    """Without what lies far from the median."""
    off = np.abs(np.log(values) - np.median(np.log(values)))
    return log_t_interval(list(values[off <= 2 * 1.4826 * np.median(off)]))


def line(share: float, slower: float, runs: int) -> str:
    """The cell's row: coverage, bias, and false alarms of a point against its twin."""
    rng = np.random.default_rng([SEED, round(100 * share), round(100 * slower)])
    found: dict[str, list[Interval]] = {"cause": [], "kept": [], "value": []}
    for _ in range(2 * runs):
        values, disturbed = rounds(rng, share, slower)
        found["cause"].append(summary(list(values), disturbed))
        found["kept"].append(summary(list(values), [False] * len(values)))
        found["value"].append(by_value(values))
    cells = [f"{share:.0%}", f"{slower:.0%}"]
    for name, intervals in found.items():
        held = [(i.low or 0) <= TRUE <= (i.high or math.inf) for i in intervals]
        bias = np.expm1(np.mean([math.log(i.value / TRUE) for i in intervals]))
        apart = [(a.low or 0) > (b.high or math.inf) or (b.low or 0) > (a.high or math.inf)
                 for a, b in zip(intervals[::2], intervals[1::2], strict=True)]  # fmt: skip
        mark = "**" if name == "cause" else ""
        cells += [f"{mark}{np.mean(held):.1%}{mark}", signed(bias, ".2%"), f"{np.mean(apart):.1%}"]
    return f"| {' | '.join(cells)} |"


def report(runs: int) -> str:
    """The page, without its first lines."""
    table = "\n".join(line(*cell, runs) for cell in CELLS)
    return f"""
{2 * runs:,} points a line, scatter {SCATTER:.0%}: chance alone moves a true 95 % by
±{100 * math.sqrt(0.05 * 0.95 / (2 * runs)):.1f} %. *Slower* is by how much disturbed rounds are in the mean. *Apart*: of two equal
points, how often their intervals do not overlap.

| disturbed | slower | left out for the cause: covered | bias | apart | all kept: covered | bias | apart | left out for the value: covered | bias | apart |
|---|---|---|---|---|---|---|---|---|---|---|
{table}

A cause leaves the values that stay as they are, so the interval keeps its 95 %, also where the cause
did nothing. A rule on values takes the scatter out with them: it misses the truth even where nothing
was disturbed.
"""  # noqa: E501


if __name__ == "__main__":
    write_page("Disturbed rounds", __doc__, report, runs=RUNS, seed=SEED, page="disturbed.md")
