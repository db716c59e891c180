"""Whether a point holds the scenario's constraints, judged by its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from harness.analysis import colocated
from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.results.rows import PERCENTILES

Holds = Literal["yes", "no", "unknown"]
"""`unknown`: the metric is n/a, or its interval lies on both sides of the bound."""

Bounds = Mapping[str, Mapping[str, Any]]
"""Metric → `{max: number}` or `{min: number}`, as in the resolved scenario."""


def bounds_of(scenario: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What a point of a resolved scenario must hold: its constraints, its co-located models'.

    Where models are measured together, a point without them is no candidate.
    """
    found = dict(_written(scenario))
    for name, other in colocated.models_colocated(scenario).items():
        found[colocated.metric_name(name, colocated.PRESENT)] = {"min": 1}
        for key, bound in _written(other).items():
            found[colocated.metric_name(name, key)] = bound
    return found


def _written(holder: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    constraints = holder.get("constraints") or {}
    return {name: bound for name, bound in constraints.items() if isinstance(bound, Mapping)}


def metric(row: SummaryRow, name: str) -> Interval | None:
    """The point's value of `throughput`, `latency_<percentile>_ms`, `joules_per_inference`, a
    memory or `errors`.

    Of a co-located model: `colocated/NAME/METRIC`. None where it is not known. Raises KeyError on
    another name.
    """
    if (found := colocated.split_name(name)) is not None:
        return colocated.value(row, *found)
    if name == "throughput":
        return row.throughput
    if name == "joules_per_inference":
        return row.joules_per_inference
    if name == "errors":
        return Interval(float(row.errors)) if row.rounds else None
    if name in ("host_memory_mib", "gpu_memory_mib"):
        value: float | None = getattr(row, name)
        return None if value is None else Interval(value)
    percentile = name.removeprefix("latency_").removesuffix("_ms")
    if percentile not in PERCENTILES:
        raise KeyError(name)
    return row.latency_ms.get(percentile)


def holds(row: SummaryRow, name: str, bound: Mapping[str, Any]) -> Holds:
    """Whether one bound holds: `yes` and `no` only where the whole interval says so."""
    found = metric(row, name)
    if found is None:
        return "unknown"
    low = found.value if found.low is None else found.low
    high = found.value if found.high is None else found.high
    least, most = bound.get("min"), bound.get("max")
    if (most is not None and low > most) or (least is not None and high < least):
        return "no"
    if (most is not None and high > most) or (least is not None and low < least):
        return "unknown"
    return "yes"


def satisfies(row: SummaryRow, bounds: Bounds) -> Holds:
    """Whether all bounds hold; with none, `yes`."""
    answers = {holds(row, name, bound) for name, bound in bounds.items()}
    if "no" in answers:
        return "no"
    return "unknown" if "unknown" in answers else "yes"
