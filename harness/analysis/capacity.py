"""Capacity over rounds: one summary for each point that was searched.

What a single window says of a rate is luck too, most of all in a short one, and the highest rate
that happened to hold is a lucky one. So the capacity is read from all rates that were tried in all
rounds: a logistic curve of the share of late requests over the log of the rate, and where it passes
what the percentile allows. The round is the unit, as everywhere: the interval is a jackknife over
rounds, half a step of the search wider on each side. How often it holds the truth:
benchmarks/capacity.py.

Without such a curve (one round, few rates near the target, or another end of the search) it is the
geometric mean of what was offered at the highest rate that held, with the t-interval of
the rounds' logs, never narrower than the steps between which they ended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special

from harness.analysis.intervals import Interval, log_t_interval, t_quantile
from harness.analysis.stopping import Width
from harness.analysis.summary import wrong_configs
from harness.measure.quantiles import QUANTILES
from harness.measure.validity import causes
from harness.results.details import TrialDetails
from harness.results.grouping import grouped
from harness.results.rows import CapacityRow, MeasurementRow
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
    """Those that count: what something from outside disturbed is left out, unless all were."""
    every: int
    """All rounds."""
    rounds_disturbed: int
    rate: Interval | None
    """Requests a second at which the target just holds; None when a round found none, or where the
    answers were wrong.
    """
    scatter: float | None
    """Half-width of the interval of its log, without what the search's step adds."""
    goodput: Interval | None
    """Inferences a second within the target at that rate."""
    knee: Interval | None
    """Over the rounds that saw a knee."""
    low: float | None
    high: float | None
    """The lowest rate at which a round's search ended, and the highest that was seen to fail."""
    limit: str
    """What ended most searches: see `CapacityRow.limit`; `wrong` where its outputs are."""
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
    def width(self) -> Width:
        """The scatter over the search's step: to be narrower than that more rounds do not help."""
        unknown = 0.0 if self.rate is None and self.rounds > 1 else math.inf
        worst = unknown if self.scatter is None else self.scatter / max(self.precision, 1e-5)
        return Width(self.point, self.rounds, worst, "", {})

    @property
    def server_limited(self) -> bool:
        """Whether the figure is the server's: not the generator's, and not a limit that was set."""
        return self.limit in ("target", "growing")


def summarize_capacity(
    rows: Iterable[CapacityRow], measurements: Sequence[MeasurementRow] = ()
) -> list[CapacitySummary]:
    """One summary a point, in order of first appearance. The run's measurements say which configs
    gave wrong answers, and in which rounds a rate was disturbed.
    """
    wrong, found = wrong_configs(measurements), []
    disturbed = {(m.details.get("search"), m.round) for m in measurements if causes(m.flags)}
    for mine in grouped(rows, lambda r: r.point).values():
        kept = [r for r in mine if (r.point, r.round) not in disturbed]
        one = _summary(sorted(kept or mine, key=lambda r: r.round), len(mine), len(kept))
        if (one.backend, one.config) in wrong:
            said = ("its outputs are wrong",)
            one = replace(one, rate=None, goodput=None, limit="wrong", reasons=said)
        found.append(one)
    return found


def _summary(rows: Sequence[CapacityRow], every: int, quiet: int) -> CapacitySummary:
    first = rows[0]
    limits = [r.limit for r in rows]
    rates = _over_rounds([r.low for r in rows])
    highs = [r.high for r in rows if r.high is not None]
    limit = max(dict.fromkeys(limits), key=limits.count)
    held, goodput = rate_over_rounds(rows), _over_rounds([r.goodput for r in rows])
    scatter = rates.half_width if rates else None
    if held and limit == "target" and (curve := _by_curve(rows)):
        share, scatter = first.batch_size * float(QUANTILES[first.percentile]), curve[1]
        out = scatter + first.details.get("precision", 0.0) / 2  # half a step of the search
        value, low, high = (math.exp(curve[0] + x) for x in (0, -out, out))
        held, goodput = (Interval(k * value, k * low, k * high, len(rows)) for k in (1.0, share))
    most = first.details.get("max_rate", math.inf)
    held, goodput = _at_most(held, most), _at_most(goodput, most * first.batch_size)
    return CapacitySummary(
        point=first.point, backend=first.backend, config=first.config,
        batch_size=first.batch_size, percentile=first.percentile, target_ms=first.target_ms,
        precision=float(first.details.get("precision", 0.0)), rounds=len(rows),
        every=every, rounds_disturbed=every - quiet, rate=held, scatter=scatter, goodput=goodput,
        knee=_over_rounds([r.knee_rate for r in rows], every=False),
        low=min((r.low for r in rows if r.low is not None), default=None),
        high=max(highs) if len(highs) == len(rows) else None,
        limit=limit, sizes=first.sizes,
        reasons=tuple(dict.fromkeys(r.reason for r in rows if r.reason)),
        rates=tuple(_rates(rows)), steps=sum(r.steps for r in rows),
    )  # fmt: skip


def _at_most(found: Interval | None, most: float) -> Interval | None:
    """The interval of the lesser of what `found` is one of, and `most`: that of both ends."""
    if found is None:
        return None
    low, high = (None if end is None else min(end, most) for end in (found.low, found.high))
    return replace(found, value=min(found.value, most), low=low, high=high)


NEAR = 30
"""Rates count for the curve where late requests are at most so many times what is allowed: beyond,
a window says how long it was overloaded."""


def _by_curve(rows: Sequence[CapacityRow]) -> tuple[float, float] | None:
    """Log of the rate at which the curve of all rounds passes the target, and its half-width; None
    where there is none, it does so beyond the rates that were tried, or one round alone makes it:
    without that it passes an octave away, as far as the fit happened to go.
    """
    allowed, rounds = 1 - float(QUANTILES[rows[0].percentile]), len(rows)
    near = np.array([
        (math.log(t["rate"]), 1 - t["within"], n) for n, row in enumerate(rows)
        for t in row.details.get("trials", ())
        if t["outcome"] != "client" and 1 - t["within"] <= NEAR * allowed
    ])  # fmt: skip
    if rounds < 2 or len(near) <= 2 * rounds or not near[:, 1].any():
        return None
    whole, *left_out = (_crossing(near[near[:, 2] != n], allowed) for n in range(-1, rounds))
    scatter = math.sqrt(rounds - 1) * float(np.std(left_out))
    tried = near[:, 0].min() <= whole <= near[:, 0].max()
    tried &= max(abs(x - whole) for x in left_out) < math.log(2)
    return (whole, t_quantile(0.975, rounds - 1) * scatter) if tried else None


def _crossing(near: NDArray[np.float64], allowed: float) -> float:
    """The log rate at which a logistic curve passes `allowed`, by maximum likelihood. The first two
    columns of `near` are log rates and shares of late requests; a rate has as many as it is high.
    """
    from scipy import optimize  # half a second, of which no other run has a use

    x, late, target = near[:, 0], near[:, 1], special.logit(allowed)

    def misfit(line: NDArray[np.float64]) -> float:
        z = target + np.exp(line[1]) * (x - line[0])
        return float(np.exp(x) @ (np.logaddexp(0, z) - late * z))

    return float(optimize.minimize(misfit, [x.mean(), 2.0], method="Nelder-Mead").x[0])


def rate_over_rounds(rows: Sequence[CapacityRow]) -> Interval | None:
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
    every = (trial for row in rows for trial in row.details.get("trials", ()))
    tried = grouped(every, lambda t: float(t["rate"]))
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
