"""Capacity: the highest rate at which enough requests are answered within a latency target.

`search` is the logic alone: it asks of steps of a fixed geometric grid of rates whether each
holds. `find_capacity` drives it with real measurements, one open-loop point a rate. Because the
grid is fixed, rounds try the same rates, and each rate gets its interval over rounds.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from harness.analysis.capacity import KNEE
from harness.errors import BackendError
from harness.measure.quantiles import QUANTILES
from harness.measure.reduce import in_window
from harness.results.details import TrialDetails
from harness.results.rows import CapacityRow, MeasurementRow
from harness.results.samples import OK, SHED, UNFINISHED, Samples
from harness.run.ceiling import LATE
from harness.scenario.points import Point
from harness.scenario.spec.load import FindCapacity

HOLDS, FAILS, CLIENT, GROWING = "holds", "fails", "client", "growing"
"""Outcomes of a rate; only the first counts as held, the last two are measured once more."""
START_LOAD = 0.25
"""The first rate, as a share of what one caller in a closed loop reaches."""
HALVINGS = 6
"""How often the first rate is halved before the search gives up."""
MOST = 1_000_000.0
"""Requests a second that no schedule exceeds."""
CLIENT_FLAGS = frozenset({
    "client_not_sending", "client_late", "client_busy", "client_near_ceiling",
})  # fmt: skip

Measured = tuple[MeasurementRow, Samples]
Measure = Callable[[Point, Callable[[MeasurementRow, Samples], bool]], Measured]
"""Measures a point and journals it; when the function given says that the first try is doubtful,
that try is dropped and the point measured once more."""


# ------------------------------------------------------------------------------------- the search


@dataclass(frozen=True, slots=True)
class Grid:
    """Rates (1 + precision)^k for whole k, rounded to as many digits as tell neighbours apart; none
    above `most`, which is the last.
    """

    precision: float
    most: float = math.inf

    def rate(self, k: int) -> float:
        """Requests a second of step k."""
        exact = math.exp(k * math.log1p(self.precision))
        digits = min(10, 3 + max(1, math.ceil(-math.log10(self.precision))))
        return min(float(f"{exact:.{digits}g}"), self.most)

    @property
    def top(self) -> int:
        """The step of `most`."""
        k = self.at_most(self.most)
        return k + (self.rate(k) < self.most)

    def at_most(self, rate: float) -> int:
        """The highest step whose rate is not above `rate`, but for rounding."""
        return math.floor(math.log(rate) / math.log1p(self.precision) + 0.01)

    @property
    def octave(self) -> int:
        """Steps that double the rate, at least one."""
        return max(1, round(math.log(2) / math.log1p(self.precision)))


Bracket = tuple[int | None, int | None]
"""The highest step that held and the lowest that didn't."""


def search(holds: Callable[[int], bool], first: int, stride: int, floor: int, top: int) -> Bracket:
    """Ask of steps whether each holds, until the bracket is as narrow as can be.

    From `first` it goes up (or down) by `stride` until the answer changes, never past `top` or
    `floor`, then bisects. The first result is None when `floor` fails, the second when `top` holds.
    """
    low: int | None = None
    high: int | None = None
    k = max(floor, min(first, top))
    while low is None or high is None:
        if holds(k):
            low = k
            if high is None and low >= top:
                return low, None
        else:
            high = k
            if low is None and high <= floor:
                return None, high
        if low is None:
            k = max(k - stride, floor)
        elif high is None:
            k = min(k + stride, top)
    while high - low > 1:
        k = (low + high) // 2
        low, high = (k, high) if holds(k) else (low, k)
    return low, high


# ------------------------------------------------------------------------------ one rate's answer


def answered_within(
    samples: Samples, begin_ns: int, end_ns: int, target_ms: float
) -> tuple[int, int]:
    """Requests due in the window that were answered within the target, and all that were due.

    Failed, shed and late requests stay in the count. Only a request that was not sent before the
    load ended, and was not yet older than the target then, is left out: nobody knows its answer.
    """
    due = in_window(samples, begin_ns, end_ns, open_loop=True)
    within = (samples.done - samples.scheduled) <= target_ms * 1e6
    undecided = due & (samples.status == UNFINISHED) & within
    good = due & (samples.status == OK) & within
    return int(good.sum()), int(due.sum() - undecided.sum())


def backlog_growth(samples: Samples, begin_ns: int, end_ns: int) -> int:
    """Requests that were due and unanswered at the window's end, less those at its begin."""
    seen = samples.status != SHED
    scheduled, done = samples.scheduled[seen], samples.done[seen]
    begin, end = (int(((scheduled <= t) & (done > t)).sum()) for t in (begin_ns, end_ns))
    return end - begin


@dataclass(frozen=True, slots=True)
class LatencyTarget:
    """What must hold, and the conditions that judging it takes."""

    percentile: str
    ms: float
    precision: float

    def judge(self, row: MeasurementRow, samples: Samples) -> TrialDetails:
        """The answer of one rate; see docs/measurement.md, Capacity."""
        begin, end = row.window_begin_ns, row.window_end_ns
        good, due = answered_within(samples, begin, end, self.ms)
        holds = bool(due) and good >= QUANTILES[self.percentile] * due
        outcome = HOLDS if holds else FAILS
        # lateness alone can't make a target hold: it is part of the response time
        flags = CLIENT_FLAGS.intersection(row.flags).difference(LATE if holds else ())
        if flags:
            outcome = CLIENT
        elif holds and backlog_growth(samples, begin, end) > max(1, self.precision / 2 * due):
            outcome = GROWING
        seconds = (end - begin) / 1e9
        offered = int(in_window(samples, begin, end, open_loop=True).sum()) / seconds
        return TrialDetails(
            rate=row.request_rate or 0.0, within=good / due if due else 0.0, offered=offered,
            goodput=good * row.batch_size / seconds, p50_ms=row.latency_ms.get("p50"),
            outcome=outcome,
        )  # fmt: skip


def knee(trials: Sequence[TrialDetails]) -> float | None:
    """The lowest tried rate whose median response exceeds `KNEE` × that of the lowest rate."""
    known = sorted((t["rate"], t["p50_ms"]) for t in trials if t["p50_ms"] is not None)
    return next((rate for rate, p50 in known if p50 > KNEE * known[0][1]), None)


# ---------------------------------------------------------------------------------- the procedure


@dataclass(slots=True)
class _Search:
    """One search: measures each rate at most once and remembers what it gave."""

    point: Point
    target: LatencyTarget
    grid: Grid
    measure: Measure
    trials: dict[int, TrialDetails] = field(default_factory=dict)

    def holds(self, k: int) -> bool:
        if k not in self.trials:
            self.trials[k] = self._try(self.grid.rate(k))
        return self.trials[k]["outcome"] == HOLDS

    def _try(self, rate: float) -> TrialDetails:
        point = replace(self.point, shape=None, request_rate=rate)

        def doubtful(row: MeasurementRow, samples: Samples) -> bool:
            return self.target.judge(row, samples)["outcome"] in (CLIENT, GROWING)

        try:
            return self.target.judge(*self.measure(point, doubtful))
        except BackendError:
            if not any(t["outcome"] == HOLDS for t in self.trials.values()):
                raise  # it fails at any rate, so it is no question of capacity
            return TrialDetails(
                rate=rate, within=0.0, offered=rate, goodput=0.0, p50_ms=None, outcome=FAILS
            )  # fmt: skip

    def start(self) -> int:
        """The first step, from how long one request alone takes."""
        alone = replace(self.point, shape=None, concurrency=1)
        row, _ = self.measure(alone, lambda *_: False)
        return self.grid.at_most(max(row.throughput / row.batch_size, 1e-3) * START_LOAD)

    def run(self) -> Bracket:
        """Search, each round afresh: rounds that begin where one ended are no replicates."""
        first = min(self.start(), self.grid.top)
        floor = first - HALVINGS * self.grid.octave
        return search(self.holds, first, self.grid.octave, floor, self.grid.top)


def find_capacity(
    point: Point, settings: FindCapacity, round_: int, measure: Measure
) -> CapacityRow:
    """Search for the capacity of a `find_capacity` point in one round.

    Raises what `measure` raises, unless a lower rate has held already: then the rate counts as
    failed.
    """
    percentile, ms = settings.target
    most = float(f"{min(settings.max_rate or MOST, MOST):.10g}")  # as a point's id has it
    grid = Grid(max(settings.precision, 1e-5), most)
    target = LatencyTarget(percentile, ms, grid.precision)
    this = _Search(point, target, grid, measure)
    low, high = this.run()
    trials = sorted(this.trials.values(), key=lambda t: t["rate"])
    best = this.trials[low] if low is not None else None
    share = min(1.0, grid.most / best["offered"]) if best else 0.0  # more may come by chance
    limit, reason = _limit(target, best, this.trials[high] if high is not None else None)
    return CapacityRow(
        point=point.id, round=round_, backend=point.backend, config=point.config,
        batch_size=point.batch_size, percentile=percentile, target_ms=ms,
        rate=share * best["offered"] if best else None,
        goodput=share * best["goodput"] if best else None,
        low=best["rate"] if best else None, high=grid.rate(high) if high is not None else None,
        knee_rate=knee(trials), steps=len(trials), limit=limit, reason=reason,
        details={"precision": grid.precision, "max_rate": grid.most, "trials": trials},
        sizes=point.sizes,
    )  # fmt: skip


def _limit(
    target: LatencyTarget, best: TrialDetails | None, above: TrialDetails | None
) -> tuple[str, str]:
    """What kept the rate from being higher, as a code and in words."""
    if above is None:
        most = "requests/s, the most that may be asked for, still holds"
        return "max_rate", f"{best['rate'] if best else 0:g} {most}"
    rate, share = above["rate"], 100 * above["within"]
    if above["outcome"] == CLIENT:
        return "client", f"at {rate:g} requests/s the load generator, not the server, was the limit"
    if best is None:
        return "target", (
            f"even at {rate:g} requests/s only {share:.3g} % of the requests "
            f"were answered within {target.ms:g} ms"
        )
    if above["outcome"] == GROWING:
        why = "more requests came in than were answered, though the target still held"
        return "growing", f"at {rate:g} requests/s {why}"
    return "target", ""
