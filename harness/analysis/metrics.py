"""A metric read off the rows: of each round, and over the rounds with its interval.

Those of a co-located model are named `colocated/NAME/METRIC`, like
`colocated/detector/latency_p99_ms`; its `present` is 1 where the model was there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from statistics import fmean

from harness.analysis.cards import over_cards
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.tails import percentile_over_rounds
from harness.results.details import ColocatedDetails, LatencyCounts
from harness.results.rows import MeasurementRow
from harness.scenario.metrics import METRICS, Metric

PREFIX, PRESENT = "colocated/", "present"
ADDED, CONFIRMATION = "added", "confirmation"
"""Stages of a measurement: see `harness.results.details.MeasurementDetails`."""


_PERCENTILES = tuple(m.name for m in METRICS.values() if m.percentile)
_WITHOUT_INTERVAL: Mapping[str, Callable[[Sequence[float]], float]] = {
    "least": min, "largest": max, "mean": fmean, "sum": math.fsum,
}  # fmt: skip


def metric_name(model: str, metric: str) -> str:
    """The name of a co-located model's metric among those of a point."""
    return f"{PREFIX}{model}/{metric}"


def split_name(name: str) -> tuple[str, str]:
    """Co-located model and metric; the model is empty for a metric of the measured one."""
    if not name.startswith(PREFIX):
        return "", name
    model, _, metric = name.removeprefix(PREFIX).partition("/")
    return model, metric


def metric_of(name: str) -> Metric:
    """The row of the table, also of a co-located model's metric. Raises KeyError."""
    return METRICS[split_name(name)[1]]


def colocated_facts(row: MeasurementRow) -> Mapping[str, ColocatedDetails]:
    """The co-located models of a round by name; empty without any."""
    return row.details.get("colocated") or {}


def of_rounds(rows: Sequence[MeasurementRow], name: str) -> list[float | None]:
    """A metric's value in each round; None where it is not known. Raises KeyError on a name that
    is no metric's.
    """
    model, key = split_name(name)
    if key == PRESENT:
        return [float(model in colocated_facts(row)) for row in rows]
    percentile, values = METRICS[key].percentile, list[object]()
    if model:
        facts = [colocated_facts(row).get(model) for row in rows]
        values = [f and (f["latency_ms"].get(percentile) if percentile else f.get(key))
                  for f in facts]  # fmt: skip
    else:
        values = [r.latency_ms.get(percentile) if percentile else getattr(r, key) for r in rows]
    # a journal spells infinity as text
    return [float(v) if isinstance(v, (int, float, str)) else None for v in values]


def counts_of(row: MeasurementRow, model: str = "") -> LatencyCounts | None:
    """The latencies of a round, of a co-located `model` too; None in runs of earlier versions."""
    if not model:
        return row.details.get("latency_counts")
    facts = colocated_facts(row).get(model)
    return None if facts is None else facts.get("latency_counts")


def over_rounds(rows: Sequence[MeasurementRow], name: str) -> Interval | None:
    """A metric's value over a point's rounds; None where it is not known.

    One that has an interval needs every round; a largest or a mean is of those that have it.
    """
    values = of_rounds(rows, name)
    known = [v for v in values if v is not None]
    model, key = split_name(name)
    how = "least" if key == PRESENT else METRICS[key].over_rounds
    if not known or (len(known) < len(values) and (model or how == "interval")):
        return None
    if how != "interval":
        return Interval(_WITHOUT_INTERVAL[how](known))
    counts = [c for row in rows if (c := counts_of(row, model)) is not None]
    if (percentile := METRICS[key].percentile) and len(counts) == len(rows):
        found = percentile_over_rounds(percentile, known, counts)
    else:
        first = [row for row in rows if row.details.get("stage") != ADDED]
        found = log_t_interval(known, first=len(first))
    return over_cards(found, known, [row.details.get("block") for row in rows])


def alone(rows: Sequence[MeasurementRow], compared: Collection[int]) -> list[MeasurementRow]:
    """Of which memory is taken: without rounds `compared` (see `harness.analysis.summary`), where
    there are others.
    """
    return [r for r in rows if r.round not in compared] or list(rows)


class OverRounds(dict[str, Interval | None]):
    """`over_rounds` of every metric that is asked for, worked out when it first is."""

    def __init__(self, rows: Sequence[MeasurementRow], compared: Collection[int] = ()) -> None:
        super().__init__()
        self._rows, self._alone = rows, alone(rows, compared)

    def __missing__(self, name: str) -> Interval | None:
        """Raises KeyError on a name that is no metric's."""
        rows = self._alone if name.endswith("memory_mib") else self._rows
        model, key = split_name(name)
        # all percentiles at once: what is put together of the rounds is the same
        for one in _PERCENTILES if key in _PERCENTILES else (key,):
            whole = metric_name(model, one) if model else one
            self[whole] = over_rounds(rows, whole)
        return self[name]
