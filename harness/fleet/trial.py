"""Whether points are slower beside other lanes: tried on a sample before a run, and judged.

Of each backend the point at the smallest batch and the highest concurrency is tried, which asks
most of the host for what it gives: in a few rounds by the first lane alone, then by the same lane
while all others do the same without a pause. A backend is *disturbed* where it is shown to be
slower beside them: where the upper 95 % end of the ratio of its throughputs (Welch's t on logs, a
value a round, which each has processes of its own) lies below 1, and the ratio by `MARGIN` or more.
Then all its points are measured one at a time, with nothing beside them. Error rates:
benchmarks/lanes_trial.py.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from harness.analysis.intervals import Interval, t_quantile
from harness.analysis.summary import SummaryRow, summarize
from harness.errors import HarnessError, WorkerDiedError
from harness.fleet.crew import Crew
from harness.fleet.devices import Lane
from harness.fleet.sources import LANES
from harness.results.rows import LoadedRow
from harness.results.store import read_run
from harness.scenario.points import estimate, expand
from harness.scenario.reading.loader import LoadedScenario, load_text
from harness.scenario.spec.scenario import Scenario

ROUNDS = 4
"""Of each side."""
MARGIN = 0.02
SHARE = 0.1
"""Of a run's estimated time that a trial may take; of a shorter run nothing is tried."""
SECONDS = {"warmup": 0.3, "window": 0.5}
"""Of each measurement, unless the scenario's are shorter."""
NEIGHBOUR_S = 120.0
"""Window of the lanes beside: while the first lane measures they do not load."""
NOT_TRIED = "whether points disturb each other in lanes was not tried"
FOLDER, LIST = "trial", "turns.json"


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one backend's point."""

    backend: str
    point: str
    ratio: Interval
    """Its throughput beside the other lanes over that alone; without ends it is not judged."""

    @property
    def disturbed(self) -> bool:
        """Whether it is shown to be slower by more than the margin."""
        return (self.ratio.high or math.inf) < 1 and self.ratio.value <= 1 - MARGIN

    @property
    def words(self) -> str:
        """For a note of the run."""
        low, high = self.ratio.low, self.ratio.high
        if low is None or high is None:
            return f"{self.point} could not be tried beside other lanes: a side has no two rounds"
        found = f"{self.ratio.value:.2f} [{low:.2f}, {high:.2f}] times as fast"
        if self.disturbed:
            return (
                f"{self.point} is {found} beside other lanes as alone: all points of "
                f"{self.backend} are measured one at a time"
            )
        shown = "not slower by 2 %" if low > 1 - MARGIN else "not shown to be slower"
        return f"{self.point} is {found} beside other lanes as alone, {shown}: left side by side"


def overrides(scenario: Scenario) -> list[str] | None:
    """What makes the scenario that of a trial: of each backend one point, in short rounds. None
    where it has no closed loop.
    """
    asked = scenario.measurement
    if not scenario.load.concurrency:
        return None
    load = {"batch_sizes": [min(scenario.load.batch_sizes)],
            "concurrency": [max(scenario.load.concurrency)]}  # fmt: skip
    warmup, window = (min(getattr(asked, k), seconds) for k, seconds in SECONDS.items())
    return [
        f"load={json.dumps(load)}", "constraints={}", f"measurement.rounds={ROUNDS}",
        f"measurement.rounds_max={ROUNDS}", f"measurement.warmup={round(warmup * 1e3)}ms",
        *_window(window),
    ]  # fmt: skip


def _window(seconds: float) -> list[str]:
    return [f"measurement.window={round(seconds * 1e3)}ms", "measurement.window_requests=11",
            f"measurement.window_max={round(max(2.0, 2 * seconds) * 1e3)}ms"]  # fmt: skip


def worth(scenario: Scenario, trial: Scenario, lanes: int) -> bool:
    """Whether a trial takes no more than `SHARE` of the run."""
    return 2 * estimate(trial) <= SHARE * estimate(scenario) / lanes


@dataclass(frozen=True, slots=True)
class Trial:
    """Where it is carried out."""

    loaded: LoadedScenario
    """With the overrides that make it one."""
    lanes: Sequence[Lane]
    folder: Path
    check: Callable[[], None]
    """Called at each step; may raise."""

    def carry_out(self) -> list[Tried]:
        """Each backend alone, then beside all others; what came of it."""
        found: list[Tried] = []
        for number, spec in enumerate(self.loaded.scenario.backends):
            written = {**spec.model_dump(mode="json", exclude_unset=True), "name": spec.name}
            only = f"backends={json.dumps([written])}"
            alone = self._measure(f"{number}-alone", (), only)
            found += judge(alone, self._measure(f"{number}-beside", self.lanes[1:], only))
        return found

    def _measure(self, name: str, others: Sequence[Lane], only: str) -> list[SummaryRow]:
        """What the first lane measures of one backend while `others` are at it without a pause."""
        first, folder = self.lanes[0], self.folder / name
        with self._crew(others, folder / "others", [only, *_window(NEIGHBOUR_S)]) as neighbours:
            waiting = {lane.number: lane for lane in others}
            for lane, event in neighbours.events(self.check) if waiting else ():
                if isinstance(event, LoadedRow):
                    waiting.pop(lane.number, None)
                if not waiting:
                    break
            if waiting:
                raise WorkerDiedError(neighbours.why_ended(next(iter(waiting.values()))))
            with self._crew([first], folder / "first", [only]) as crew:
                for _ in crew.events(self.check):
                    pass
        data = read_run(folder / "first" / LANES / str(first.number))
        return summarize(data.measurements, data.failures)

    def _crew(self, lanes: Sequence[Lane], folder: Path, sets: Sequence[str]) -> Crew:
        """Each lane measures all of it, none a shard of another's."""
        words = [word for text in (*self.loaded.overrides, *sets) for word in ("--set", text)]
        (folder / "logs").mkdir(parents=True, exist_ok=True)
        return Crew(lanes, folder, [str(self.loaded.path), *words], None)


def judge(alone: Sequence[SummaryRow], beside: Sequence[SummaryRow]) -> list[Tried]:
    """Each backend's points, both sides of which were measured: the most disturbed of them."""
    others = {row.point: row for row in beside}
    found: dict[str, Tried] = {}
    for row in alone:
        if row.point in others:
            values = ratio(others[row.point].per_round("throughput"), row.per_round("throughput"))
            tried = Tried(row.backend, row.point, values)
            before = found.get(row.backend)
            if before is None or _end(tried) < _end(before):
                found[row.backend] = tried
    return list(found.values())


def _end(tried: Tried) -> float:
    return tried.ratio.high or math.inf


def ratio(beside: Sequence[float], alone: Sequence[float]) -> Interval:
    """Of the geometric means, with Welch's interval on the logs; none of fewer than two values."""
    logs = [np.log([v for v in values if v > 0]) for values in (beside, alone)]
    if min(map(len, logs)) < 2:
        return Interval(1.0)
    middle = float(logs[0].mean() - logs[1].mean())
    parts = [float(x.var(ddof=1)) / len(x) for x in logs]
    error = math.sqrt(sum(parts))
    half = 0.0
    if error:
        freedom = [p**2 / (len(x) - 1) for p, x in zip(parts, logs, strict=True)]
        half = t_quantile(0.975, error**4 / sum(freedom)) * error
    low, high = math.exp(middle - half), math.exp(middle + half)
    return Interval(math.exp(middle), low, high, min(map(len, logs)))


def alone_of(scenario: Scenario, tried: Sequence[Tried]) -> list[str]:
    """The points that are to be measured one at a time."""
    disturbed = {t.backend for t in tried if t.disturbed}
    return [p.id for p in expand(scenario) if p.backend in disturbed]


def find_out(
    loaded: LoadedScenario, lanes: Sequence[Lane], folder: Path, check: Callable[[], None], *,
    wanted: bool | None, tell: Callable[[str], object],
) -> tuple[list[str], list[str]]:  # fmt: skip
    """The points to measure one at a time, and what to say of it; `wanted` as the user says, None
    where the length of the run decides.
    """
    sets = overrides(loaded.scenario)
    if wanted is False or len(lanes) < 2:
        return [], []
    if sets is None:
        return [], [f"{NOT_TRIED}: the scenario has no closed loop"]
    sets = [*loaded.overrides, *sets]
    short = load_text(loaded.text, str(loaded.path), loaded.path.parent, sets)
    if wanted is None and not worth(loaded.scenario, short, len(lanes)):
        return [], [f"{NOT_TRIED}: that takes more than {SHARE:.0%} of this run (--trial does it)"]
    tell("trying whether points disturb each other in lanes")
    shutil.rmtree(folder, ignore_errors=True)  # of a run that was interrupted in it
    trial = Trial(replace(loaded, scenario=short, overrides=tuple(sets)), lanes, folder, check)
    try:
        tried = trial.carry_out()
    except HarnessError as error:
        return [], [f"{NOT_TRIED}: {error.message}"]
    return alone_of(loaded.scenario, tried), [t.words for t in tried]
