"""Metric names as OpenMetrics wants them: base units, and the unit at the end of the name.

https://prometheus.io/docs/specs/om/open_metrics_spec/, "Units and Base Units"
"""

from __future__ import annotations

from typing import NamedTuple

from harness.scenario.metrics import METRICS, Metric


class BaseUnit(NamedTuple):
    """A metric outside of the harness: `value * factor`, in the unit that ends the name."""

    name: str
    factor: float


UNITS = {
    "ms": ("seconds", 1e-3),
    "MiB": ("bytes", 2.0**20),
    "%": ("ratio", 0.01),
    "W": ("watts", 1.0),
}
SUFFIXES = ("_ms", "_mib", "_percent", "_w")
NAMED = {
    "throughput": "inferences_per_second",  # as `harness run --metrics-port` serves it
    "joules_per_inference": "inference_energy_joules",
}
"""Where the name is not the harness's own with the unit exchanged."""


def base(metric: Metric) -> BaseUnit:
    """A metric's name and factor in base units."""
    if metric.name in NAMED or metric.unit not in UNITS:
        return BaseUnit(NAMED.get(metric.name, metric.name), 1.0)
    unit, factor = UNITS[metric.unit]
    stem = next((metric.name.removesuffix(s) for s in SUFFIXES if metric.name.endswith(s)), "")
    return BaseUnit(f"{stem or metric.name}_{unit}", factor)


BASE = {name: base(metric) for name, metric in METRICS.items()}
"""The harness's name → outside."""


def table() -> str:
    """The names as a table of the documentation."""
    rows = [
        f"| `{name}` | `{BASE[name].name}` | {metric.title}{'' if metric.unit else ', a count'} |"
        for name, metric in METRICS.items()
    ]
    head = ["| in scenarios and CSV | outside, in base units | |", "|---|---|---|"]
    return "\n".join([*head, *rows])
