"""Capacity over rounds: one summary for each point that was searched.

As everywhere, the round is the unit: the capacity is the geometric mean of the rates that were
offered in the rounds where the highest held, with the t-interval of their logs. Its resolution is
the search's step: the interval is never narrower than the steps between which the rounds ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from harness.analysis.intervals import Interval, log_t_interval
from harness.results.details import TrialDetails
from harness.results.rows import CapacityRow
from harness.scenario.sizes import request_text


@dataclass(frozen=True, slots=True)
class RateSummary:
    """One rate that was tried, over the rounds that tried it."""

    rate: float
    rounds: int
    within: float
    """Mean share of the requests that were answered within the target."""
    p50_ms: float | None
    """Geometric mean of the rounds' medians."""
    outcomes: Mapping[str, int]
    """How often it `holds`, `fails`, …"""


@dataclass(frozen=True, slots=True)
class CapacitySummary:
    """One searched point over its rounds."""

    point: str
    backend: str
    config: str
    batch_size: int
    percentile: str
    target_ms: float
    precision: float
    rounds: int
    rate: Interval | None
    """Requests a second that were offered at the highest that holds; None when a round found
    none.
    """
    scatter: float | None
    """Half-width of the t-interval of the logs of the rounds' rates as they were asked for."""
    goodput: Interval | None
    """Inferences a second within the target at that rate."""
    knee: Interval | None
    """Over the rounds that saw a knee."""
    low: float | None
    high: float | None
    """The lowest rate at which a round's search ended, and the highest that was seen to fail."""
    limit: str
    """What ended most searches: see `CapacityRow.limit`."""
    reasons: tuple[str, ...]
    rates: tuple[RateSummary, ...]
    steps: int
    sizes: str = ""
    """Of the dynamic dimensions that vary."""

    @property
    def request(self) -> str:
        """What a request holds, in short."""
        return request_text(self.batch_size, self.sizes)

    @property
    def narrow(self) -> bool:
        """Whether more rounds would not help: they scatter by no more than the search's step."""
        if self.rate is None:
            return self.rounds > 1
        return self.scatter is not None and self.scatter <= self.precision

    @property
    def server_limited(self) -> bool:
        """Whether the figure is the server's: not the generator's, and not a limit that was set."""
        return self.limit in ("target", "growing")


def summarize_capacity(rows: Iterable[CapacityRow]) -> list[CapacitySummary]:
    """One summary a point, in order of first appearance."""
    by_point: dict[str, list[CapacityRow]] = {}
    for row in rows:
        by_point.setdefault(row.point, []).append(row)
    return [_summary(sorted(found, key=lambda r: r.round)) for found in by_point.values()]


def _summary(rows: Sequence[CapacityRow]) -> CapacitySummary:
    first = rows[0]
    limits = [r.limit for r in rows]
    rates = _over_rounds([r.low for r in rows])
    highs = [r.high for r in rows if r.high is not None]
    return CapacitySummary(
        point=first.point, backend=first.backend, config=first.config,
        batch_size=first.batch_size, percentile=first.percentile, target_ms=first.target_ms,
        precision=float(first.details.get("precision", 0.0)), rounds=len(rows),
        rate=_rate_over_rounds(rows), scatter=rates.half_width if rates else None,
        goodput=_over_rounds([r.goodput for r in rows]),
        knee=_over_rounds([r.knee_rate for r in rows], every=False),
        low=min((r.low for r in rows if r.low is not None), default=None),
        high=max(highs) if len(highs) == len(rows) else None,
        limit=max(dict.fromkeys(limits), key=limits.count),
        reasons=tuple(dict.fromkeys(r.reason for r in rows if r.reason)),
        rates=tuple(_rates(rows)), steps=sum(r.steps for r in rows),
        sizes=first.sizes,
    )  # fmt: skip


def _rate_over_rounds(rows: Sequence[CapacityRow]) -> Interval | None:
    """The capacity, with an interval no narrower than what the rounds ended between: from the
    lowest rate that held to a step above the highest that did not.
    """
    found = _over_rounds([r.rate for r in rows])
    if found is None or found.low is None or found.high is None:
        return found
    step = 1 + float(rows[0].details.get("precision", 0.0))
    low = min([found.low, *(r.low for r in rows if r.low)])
    return replace(found, low=low, high=max([found.high, *(r.high * step for r in rows if r.high)]))


def _over_rounds(values: Sequence[float | None], *, every: bool = True) -> Interval | None:
    """With `every`, None unless each round has the value."""
    known = [v for v in values if v is not None]
    return log_t_interval(known) if known and (len(known) == len(values) or not every) else None


def _rates(rows: Sequence[CapacityRow]) -> list[RateSummary]:
    tried: dict[float, list[TrialDetails]] = {}
    for row in rows:
        for trial in row.details.get("trials", ()):
            tried.setdefault(float(trial["rate"]), []).append(trial)
    return [_rate(rate, found) for rate, found in sorted(tried.items())]


def _rate(rate: float, trials: Sequence[TrialDetails]) -> RateSummary:
    medians = [float(t["p50_ms"]) for t in trials if t["p50_ms"] is not None]
    finite = [m for m in medians if 0 < m < math.inf]
    outcomes = [str(t["outcome"]) for t in trials]
    return RateSummary(
        rate, len(trials), math.fsum(float(t["within"]) for t in trials) / len(trials),
        log_t_interval(finite).value if finite and len(finite) == len(medians) else None,
        {o: outcomes.count(o) for o in dict.fromkeys(outcomes)},
    )  # fmt: skip


KNEE = 1.5
"""The knee: the lowest rate whose median response is this many times that of the lowest rate."""
