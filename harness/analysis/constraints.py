"""Whether a point holds the scenario's constraints: by what was counted, or by its interval."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from harness.analysis.colocated import models_colocated
from harness.analysis.intervals import Interval
from harness.analysis.metrics import PRESENT, counts_of, metric_name, split_name
from harness.analysis.summary import SummaryRow
from harness.analysis.tails import Share, share_beyond
from harness.scenario.metrics import METRICS
from harness.scenario.units import format_duration

MOST_ROUNDS = 1000
"""That a scenario may ask for."""

Holds = Literal["yes", "no", "unknown"]
"""`unknown`: the metric is n/a, its interval lies on both sides of the bound, or it is of one round
alone."""

Bound = Mapping[str, float | None]
"""`{max: number}` or `{min: number}`, and `one_round` where one round may show that it holds."""
Bounds = Mapping[str, Bound]
"""By metric, as in the resolved scenario."""


def bounds_of(scenario: Mapping[str, object]) -> dict[str, Bound]:
    """What a point of a resolved scenario must hold: its constraints, its co-located models'.

    Where models are measured together, a point without them is no candidate.
    """
    bounds = _written(scenario.get("constraints"))
    for name, other in models_colocated(scenario).items():
        bounds[metric_name(name, PRESENT)] = {"min": 1}
        for key, bound in _written(other.get("constraints")).items():
            bounds[metric_name(name, key)] = bound
    return bounds


def _written(constraints: object) -> dict[str, Bound]:
    written = constraints if isinstance(constraints, Mapping) else {}
    return {str(name): bound for name, bound in written.items() if isinstance(bound, Mapping)}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether one bound holds, and by how much."""

    holds: Holds
    value: float | None = None
    """The metric over the rounds."""
    margin: float | None = None
    """From the value to the bound, as a share of it: positive on its good side."""
    needs: str = ""
    """What would let it be judged, where it is not; empty where that is not known either."""


def holds(row: SummaryRow, name: str, bound: Bound) -> Holds:
    """Whether one bound holds."""
    return judge(row, name, bound).holds


def judge(row: SummaryRow, name: str, bound: Bound) -> Judgement:
    """Judge one bound: a latency limit by the share of all requests beyond it, everything else by
    its interval: `yes` and `no` only where the whole interval says so.

    One round can show that a bound is broken, but not that it holds, unless it says `one_round`.
    """
    value, least, most = row.value(name), bound.get("min"), bound.get("max")
    model, key = split_name(name)
    metric = METRICS.get(key)
    limit = most if most is not None else least
    known = [c for m in row.measurements if (c := counts_of(m, model)) is not None]
    share: Share | None = None
    if most is not None and metric and metric.percentile and len(known) == row.rounds > 0:
        share = share_beyond(metric.percentile, known, most)
        answer, room = _answer(share.low, share.high, share.allowed), share.needed
    elif value is not None:
        low = value.value if value.low is None else value.low
        high = low if value.low is None else math.inf if value.high is None else value.high
        answers = {"yes" if most is None else _answer(low, high, most),
                   "yes" if least is None else _answer(-high, -low, -least)}  # fmt: skip
        answer = worst(answers)
        room = _room(value, limit)
    else:
        return Judgement("unknown")
    alone = row.rounds == 1 and metric is not None and metric.over_rounds == "interval"
    if answer == "yes" and alone and not bound.get("one_round"):
        answer, room = "unknown", 2.0
    margin = None
    if value is not None and limit:
        margin = (1 if most is not None else -1) * (limit - value.value) / abs(limit)
    needs = _setting(row, room, share is not None) if answer == "unknown" else ""
    return Judgement(answer, None if value is None else value.value, margin, needs)


def _answer(low: float, high: float, most: float) -> Holds:
    """Whether what lies between `low` and `high` is at most `most`."""
    return "no" if low > most else "yes" if high <= most else "unknown"


def _room(value: Interval, limit: float | None) -> float:
    """How many times as many rounds would put the interval on one side of the bound."""
    half = value.half_width
    if not half or not limit or value.value == limit or value.value / limit <= 0:
        return math.inf
    return (half / math.log(value.value / limit)) ** 2


def _setting(row: SummaryRow, times: float, by_share: bool) -> str:
    """The setting by which there would be so many times as much to judge by."""
    if row.rounds > 1 and by_share and math.isfinite(times):
        spans = [(m.window_end_ns - m.window_begin_ns) / 1e9 for m in row.measurements]
        seconds = math.ceil(times * math.fsum(spans) / len(spans))
        return f"measurement.window: {format_duration(seconds)}"
    rounds = math.ceil(times * row.rounds) if math.isfinite(times) else 0
    return f"measurement.rounds: {max(2, rounds)}" if 0 < rounds <= MOST_ROUNDS else ""


def satisfies(row: SummaryRow, bounds: Bounds) -> Holds:
    """Whether all bounds hold; with none, `yes`."""
    return worst({holds(row, name, bound) for name, bound in bounds.items()})


def worst(answers: Collection[Holds]) -> Holds:
    """Whether all hold that have these answers; with none, `yes`."""
    return "no" if "no" in answers else "unknown" if "unknown" in answers else "yes"
