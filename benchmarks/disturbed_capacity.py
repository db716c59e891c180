"""Does a searched capacity hold the truth where other processes disturb its rounds? Simulated.

    python benchmarks/disturbed_capacity.py      writes docs/benchmarks/disturbed-capacity.md

The queue of benchmarks/capacity.py, whose server is slowed by other processes: 1.1 to 2 times, as
chance has it, either for a whole round's search or for single windows of it, one by one. The search
is the harness's own, and so are the windows that are measured once more, the rounds that are left
out, those that are added for them and the interval: `harness.run.point`, `harness.run.rounds` and
`harness.analysis.capacity`, only a window is drawn. *Without the rule* is the same where nothing
sees the other processes, so that all counts.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from capacity import WARMUP_S, departures, row, service, truth
from numpy.typing import NDArray
from simulated import write_page

from harness.analysis import capacity as analysis
from harness.analysis.capacity import CapacitySummary, summarize_capacity
from harness.results.rows import MeasurementRow
from harness.results.samples import OK, Samples
from harness.run.point import PointMeasurement
from harness.run.rounds import Rounds
from harness.run.selection import Selection
from harness.run.state import RunState
from harness.scenario.points import Point, expand
from harness.scenario.spec.scenario import Scenario
from harness.scenario.variants import configs

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from support.simulated_progress import Nothing

CV, TARGET_MS, WINDOW_S, LUCK, RUNS, SEED = 0.5, 50.0, 10.0, 0.03, 60, 20_261_130
SLOWER = (1.1, 2.0)
WRITTEN: Mapping[str, Any] = {
    "scenario": "s", "model": {"name": "m", "source": {"fake": {}}},
    "backends": [{"kind": "fake", "name": "f"}],
    "load": {"find_capacity": {"latency_p99_ms": TARGET_MS}},
    "measurement": {"profile": "standard"},
}  # fmt: skip
SEEN = {"always": 1.0, "in 80 %": 0.8, "never: without the rule": 0.0}
CELLS = [("rounds", 0.0, "always"), *(
    (what, share, seen) for what in ("rounds", "windows") for share in (0.1, 0.3, 0.5)
    for seen in SEEN
)]  # fmt: skip

CROSSING = analysis._crossing


@dataclass(frozen=True)
class Window(PointMeasurement):
    """A session of one round, whose windows are drawn."""

    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    share: float = 0.0
    seen: float = 1.0
    whole: bool = True
    """Whether the whole round is disturbed, or each window for itself."""
    speed: float = 1.0
    here: list[tuple[float, tuple[str, ...]]] = field(default_factory=list)
    """What disturbs this round."""

    def _disturbed(self) -> tuple[float, tuple[str, ...]]:
        if self.rng.random() >= self.share:
            return 1.0, ()
        flags = ("foreign_load",) if self.rng.random() < self.seen else ()
        return self.rng.uniform(*SLOWER), flags

    def capacity(self, point: Point, *more: Any) -> None:
        self.here[:] = [self._disturbed()]
        super().capacity(point, *more)

    def _measure(self, point: Point) -> tuple[MeasurementRow, Samples]:
        slower, flags = self.here[0] if self.whole else self._disturbed()
        begin, end = int(1e9 * WARMUP_S), int(1e9 * (WARMUP_S + WINDOW_S))
        rate = point.request_rate or 1.0
        count = self.rng.poisson(rate * end / 1e9)
        arrivals = np.sort(self.rng.uniform(0, end / 1e6, count))
        done = departures(arrivals, self.speed * slower * service(self.rng, count, CV))
        scheduled, ended = ((1e6 * t).astype(np.int64) for t in (arrivals, done))
        samples = Samples(scheduled, scheduled, ended, np.full(count, OK, np.uint8),
                          np.zeros(count, np.uint16))  # fmt: skip
        found = row(point, begin, end, 250.0 / slower, float(np.median(done - arrivals)))
        return replace(found, round=self.round_, flags=flags), samples


_crossings: dict[bytes, float] = {}


def _crossing(near: NDArray[np.float64], allowed: float) -> float:
    """That of `harness.analysis.capacity`, which every round asks for the same rates again."""
    key = near.tobytes()
    if key not in _crossings:
        _crossings[key] = CROSSING(near, allowed)
    return _crossings[key]


def search(rng: np.random.Generator, what: str, share: float, seen: float) -> CapacitySummary:
    """A whole run, and what it reports."""
    scenario = Scenario.model_validate(WRITTEN)
    points = expand(scenario)
    state = RunState(Nothing(), lambda _: None)  # type: ignore[arg-type]
    rounds = Rounds(scenario, points, configs(scenario), Selection(scenario), state)
    nothing: Any = SimpleNamespace()
    for number in range(rounds.most):
        for point in rounds.wanted(number):
            speed = float(np.exp(rng.normal(0, LUCK)))
            window = Window(nothing, state, nothing, number, "", rng=rng, share=share, seen=seen,
                            whole=what == "rounds", speed=speed)  # fmt: skip
            window.capacity(point, scenario.load, set())
    (found,) = summarize_capacity(state.capacities, state.rows)
    _crossings.clear()
    return found


analysis._crossing = _crossing


def line(place: int, runs: int) -> str:
    """The cell's row of the table."""
    what, share, seen = CELLS[place]
    rng, true = np.random.default_rng([SEED, place]), truth(CV, TARGET_MS)
    found = [search(rng, what, share, SEEN[seen]) for _ in range(runs)]
    rates = [(c, c.rate) for c in found if c.rate is not None]
    held = [(r.low or 0) <= true <= (r.high or math.inf) for _, r in rates]
    bias = np.expm1(np.mean([math.log(r.value / true) for _, r in rates]))
    width = np.expm1(np.median([r.half_width or math.inf for _, r in rates]))
    busy = np.mean([c.rounds_disturbed == c.every for c in found]) if share and SEEN[seen] else 0.0
    mark = "" if seen.startswith("never") else "**"
    rest = [c.every for c in found]
    return (
        f"| {what} | {share:.0%} | {seen} | {mark}{np.mean(held):.0%}{mark} | {bias:+.1%} "
        f"| ±{width:.0%} | {np.mean(rest):.1f} | {np.mean([c.rounds for c in found]):.1f} "
        f"| {busy:.0%} | {1 - len(rates) / runs:.0%} |"
    )


def report(runs: int) -> str:
    """The page, without its first lines."""
    truth(CV, TARGET_MS)  # once, before the processes fork
    with multiprocessing.Pool(len(os.sched_getaffinity(0))) as pool:
        rows = "\n".join(pool.map(functools.partial(line, runs=runs), range(len(CELLS)), 1))
    error = 100 * (0.05 * 0.95 / runs) ** 0.5
    return f"""
{runs} runs a line: chance alone moves a true 95 % by ±{error:.1f} % (one standard error). Service times
are log-normal (cv {CV:g}) of 4 ms in the mean, p99 within {TARGET_MS:g} ms, windows of {WINDOW_S:g} s, and each round's server
is faster or slower by {LUCK:.0%}; undisturbed it holds {truth(CV, TARGET_MS):.1f} requests/s. Rounds as in the profile
`standard`: five, and up to fifteen where some were disturbed or scatter. *Rounds*: a whole round's search is disturbed, and
its cause is seen in all of its windows or in none. *Windows*: each window for itself. Half-widths are medians.

| disturbed | share | cause seen | truth in the interval | bias | half-width | rounds in all | that count | all disturbed | no capacity |
|---|---|---|---|---|---|---|---|---|---|
{rows}

The target is 93 %. Where a cause is not seen, its round counts: the capacity that is reported is then too small, and its interval
holds the truth because it is wide. A search has some eight windows, each measured once more where it was disturbed: of single windows
that are disturbed, 30 % cost half of the rounds and 50 % nine of ten. Where no round is left they all count, and the report says so.
"""  # noqa: E501


if __name__ == "__main__":
    title = "A capacity on a disturbed machine"
    write_page(title, __doc__, report, runs=RUNS, seed=SEED, page="disturbed-capacity.md")
