"""Whether a point holds the scenario's constraints, judged by its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from harness.analysis.colocated import models_colocated
from harness.analysis.metrics import PRESENT, metric_name
from harness.analysis.summary import SummaryRow

Holds = Literal["yes", "no", "unknown"]
"""`unknown`: the metric is n/a, or its interval lies on both sides of the bound."""

Bound = Mapping[str, float | None]
"""`{max: number}` or `{min: number}`."""
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


def holds(row: SummaryRow, name: str, bound: Bound) -> Holds:
    """Whether one bound holds: `yes` and `no` only where the whole interval says so."""
    value = row.value(name)
    if value is None:
        return "unknown"
    low = value.value if value.low is None else value.low
    high = value.value if value.high is None else value.high
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
