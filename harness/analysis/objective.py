"""What "best" means: one metric, several in one by weights, or several side by side (Pareto).

A weighted objective is the weighted geometric mean of its metrics, each turned so that more is
better::

    score = (throughput^2 · p99^-1)^(1/3)          for {throughput: 2, latency_p99_ms: 1}

Its logarithm is a weighted sum of logarithms, so the interval over rounds and the ratio of two
points are those of every other metric, and units do not matter: a ratio of 1.1 is 10 % better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.analysis import colocated
from harness.analysis.constraints import metric
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import SummaryRow


@dataclass(frozen=True, slots=True)
class Objective:
    """Metrics with their weights; with `pareto` there is no weighing, and no single best."""

    weights: tuple[tuple[str, float], ...]
    pareto: bool = False

    @property
    def single(self) -> str | None:
        """The only metric; None where there are several."""
        return self.weights[0][0] if len(self.weights) == 1 else None

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics, in the order written."""
        return tuple(name for name, _ in self.weights)

    def value(self, row: SummaryRow) -> Interval | None:
        """The point's value: of the single metric, else the score (for `pareto`, equal weights).

        None where a round lacks it.
        """
        if self.single is not None:
            return metric(row, self.single)
        values = self.per_round(row)
        return log_t_interval(values) if values else None

    def per_round(self, row: SummaryRow) -> list[float]:
        """The value in each round; empty where a round lacks it."""
        if self.single is not None:
            return round_values(row, self.single)
        columns = [round_values(row, name) for name in self.metrics]
        if not all(columns) or not all(0 < v < math.inf for column in columns for v in column):
            return []
        total = math.fsum(weight for _, weight in self.weights)
        powers = [(-w if smaller(name) else w) / total for name, w in self.weights]
        rounds = zip(*columns, strict=True)
        return [math.prod(v**p for v, p in zip(values, powers, strict=True)) for values in rounds]


Aim = str | Objective
"""What functions take: a metric's name, or an objective."""


def parse_objective(written: Any) -> Objective:
    """From a scenario's `objective`: a name, a mapping to weights, or a list.

    Raises ValueError for anything else.
    """
    if isinstance(written, Objective):
        return written
    if isinstance(written, str):
        return Objective(((written, 1.0),))
    if isinstance(written, Mapping):
        known = tuple((str(k), float(v)) for k, v in written.items() if v is not None)
        if known:
            return Objective(known)
    elif isinstance(written, list | tuple) and written:
        return Objective(tuple((str(name), 1.0) for name in written), pareto=len(written) > 1)
    raise ValueError(f"{written!r} is no objective")


def objective_of(scenario: Mapping[str, Any]) -> Objective:
    """The objective of a resolved scenario, with co-located models' throughputs by their weights.

    Raises ValueError for what is no objective.
    """
    found = parse_objective(scenario.get("objective") or "throughput")
    others = tuple(
        (colocated.metric_name(name, "throughput"), float(other["weight"]))
        for name, other in colocated.models_colocated(scenario).items()
        if other.get("weight")
    )
    return found if found.pareto or not others else Objective((*found.weights, *others))


def smaller(name: str) -> bool:
    """Whether less of a metric is better: of everything but throughput."""
    return name.rpartition("/")[2] != "throughput"


def round_values(row: SummaryRow, name: str) -> list[float]:
    """A metric's value in each round; empty where a round lacks it.

    Of `latency_<percentile>_ms`, a co-located model, or an attribute of `MeasurementRow`; raises
    AttributeError on another name.
    """
    if (found := colocated.split_name(name)) is not None:
        return colocated.round_values(row, *found)
    values: list[float | None]
    if name.startswith("latency_p"):
        percentile = name.removeprefix("latency_").removesuffix("_ms")
        values = [m.latency_ms.get(percentile) for m in row.measurements]
    else:
        values = [getattr(m, name) for m in row.measurements]
    known = [v for v in values if v is not None]
    return known if len(known) == len(values) else []
