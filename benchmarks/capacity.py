"""Does the interval of a searched capacity hold the truth? Simulated queues, the real search.

    python benchmarks/capacity.py            writes docs/benchmarks/capacity.md

A server of 4 ms a request, M/D/1 or with log-normal service times, is searched in five rounds by
`harness.run.capacity`, each rate a fresh simulation: 2 s of warm-up from an empty queue, then the
window. In some cells every round has a server of its own, faster or slower by 3 %. *Highest that
held* is what was reported before: the geometric mean of what was offered at the highest rate that
held in each round, with an interval no narrower than the steps between which the rounds ended.
*Curve* is `harness.analysis.capacity`: a logistic curve through all rates of all rounds.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from simulated import write_page

from harness.analysis.capacity import rate_over_rounds, summarize_capacity
from harness.analysis.intervals import Interval
from harness.results.rows import MeasurementRow
from harness.results.samples import OK, Samples
from harness.run.capacity import find_capacity
from harness.scenario.points import Point
from harness.scenario.spec.load import FindCapacity
from harness.scenario.wording import signed

SERVICE_MS, WARMUP_S, ROUNDS, RUNS, SEED = 4.0, 2.0, 5, 200, 20_261_129
POINT = Point("simulated", "default", 1, shape="find_capacity")
Float64 = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """A queue, what is asked of it, and how."""

    cv: float
    """Of the service times: 0 is M/D/1, else log-normal."""
    target_ms: float
    window_s: float
    luck: float = 0.0
    """Standard deviation of the log of a round's speed."""


QUEUES = ((0.0, 20.0), (0.0, 50.0), (0.5, 20.0), (0.5, 50.0), (1.0, 50.0))
CELLS = [
    *(Cell(*queue, window) for queue in QUEUES for window in (2.0, 10.0, 30.0)),
    *(Cell(*queue, window, 0.03) for queue in QUEUES[1:3] for window in (2.0, 10.0)),
]


def service(rng: np.random.Generator, count: int, cv: float) -> Float64:
    """Service times in ms."""
    sigma = math.sqrt(math.log1p(cv**2))
    return SERVICE_MS * np.exp(rng.normal(-(sigma**2) / 2, sigma, count))


def departures(arrivals: Float64, times: Float64) -> Float64:
    """By Lindley's recursion, of one server."""
    ends = np.cumsum(times)
    return ends + np.maximum.accumulate(arrivals - ends + times)


@functools.cache
def truth(cv: float, target_ms: float) -> float:
    """The rate at which 99 % of all responses are within the target, in the long run."""
    rng = np.random.default_rng(SEED)
    gaps, times = np.cumsum(rng.exponential(1e3, 1_000_000)), service(rng, 1_000_000, cv)
    low, high = 1.0, 1e3 / SERVICE_MS
    while high - low > 0.02:
        rate = (low + high) / 2
        late = (departures(gaps / rate, times) - gaps / rate > target_ms).mean()
        low, high = (rate, high) if late <= 0.01 else (low, rate)
    return low


def row(point: Point, begin: int, end: int, throughput: float, p50_ms: float) -> MeasurementRow:
    """As much of a row as the search reads."""
    return MeasurementRow(
        point=point.id, round=0, backend=point.backend, config=point.config, batch_size=1,
        concurrency=point.concurrency, request_rate=point.request_rate, started="",
        window_begin_ns=begin, window_end_ns=end, requests=0, errors=0, throughput=throughput,
        latency_mean_ms=p50_ms, latency_ms={"p50": p50_ms}, latency_order_ms={},
    )  # fmt: skip


def measure(
    cell: Cell,
    rng: np.random.Generator,
    speed: float,
    point: Point,
    doubtful: Callable[[MeasurementRow, Samples], bool],
) -> tuple[MeasurementRow, Samples]:
    """One rate, and once more where the search asks for it."""
    begin, end = int(1e9 * WARMUP_S), int(1e9 * (WARMUP_S + cell.window_s))
    rate = point.request_rate or 1.0
    for _ in range(2):
        count = rng.poisson(rate * end / 1e9)
        arrivals = np.sort(rng.uniform(0, end / 1e6, count))
        done = departures(arrivals, speed * service(rng, count, cell.cv))
        scheduled, ended = ((1e6 * t).astype(np.int64) for t in (arrivals, done))
        samples = Samples(scheduled, scheduled, ended, np.full(count, OK, np.uint8),
                          np.zeros(count, np.uint16))  # fmt: skip
        p50 = float(np.median(done - arrivals)) if count else math.inf
        found = row(point, begin, end, 1e3 / SERVICE_MS, p50)
        if point.request_rate is None or not doubtful(found, samples):
            break
    return found, samples


def run(cell: Cell, rng: np.random.Generator) -> tuple[Interval, Interval]:
    """Before and after."""
    asked = FindCapacity(latency_p99_ms=cell.target_ms)
    rows = [
        find_capacity(POINT, asked, n, functools.partial(
            measure, cell, rng, float(np.exp(rng.normal(0, cell.luck)))
        )) for n in range(ROUNDS)
    ]  # fmt: skip
    before, (after,) = rate_over_rounds(rows), summarize_capacity(rows)
    assert before is not None
    assert after.rate is not None
    return before, after.rate


def line(place: int, runs: int) -> str:
    """The cell's row of the table."""
    cell = CELLS[place]
    rng, true = np.random.default_rng([SEED, place]), truth(cell.cv, cell.target_ms)
    found = [run(cell, rng) for _ in range(runs)]
    name = f"M/LN, cv {cell.cv:g}" if cell.cv else "M/D/1"
    cells = [name, f"{cell.target_ms:g} ms", f"{cell.window_s:g} s", f"{cell.luck:.0%}",
             f"{true:.1f}"]  # fmt: skip
    for which, mark in ((0, ""), (1, "**")):
        mine = [r[which] for r in found]
        covered = np.mean([(i.low or 0) <= true <= (i.high or math.inf) for i in mine])
        bias = np.expm1(np.mean([math.log(i.value / true) for i in mine]))
        width = np.expm1(np.median([i.half_width or math.inf for i in mine]))
        cells += [f"{mark}{covered:.1%}{mark}", signed(bias, ".1%"), f"±{width:.0%}"]
    return f"| {' | '.join(cells)} |"


def report(runs: int) -> str:
    """The page, without its first lines."""
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        rows = pool.starmap(line, [(n, runs) for n in range(len(CELLS))], chunksize=1)
    table = "\n".join(rows)
    return f"""
{runs} runs of {ROUNDS} rounds a cell: chance alone moves a true 95 % by ±{1.54 * math.sqrt(200 / runs):.1f} %
(one standard error). p99 within the target; steps of 5 %; *luck* is how much a round's server differs
from the next round's; half-widths are medians.

| queue | p99 within | window | luck | capacity (1/s) | highest that held: covered | bias | half-width | curve: covered | bias | half-width |
|---|---|---|---|---|---|---|---|---|---|---|
{table}

A window of 2 s at 140 requests/s has 280 of them, and p99 rests on three: no rule makes a capacity
sharp from those, and the interval says so.
"""  # noqa: E501


if __name__ == "__main__":
    write_page("A searched capacity", __doc__, report, runs=RUNS, seed=SEED, page="capacity.md")
