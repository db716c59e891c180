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

from harness.analysis.colocated import models_colocated
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.metrics import metric_name, metric_of
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

    @property
    def sign(self) -> int:
        """1 where more is better, as of a score; −1 where less is."""
        return 1 if self.single is None else metric_of(self.single).sign

    def value(self, row: SummaryRow) -> Interval | None:
        """The point's value: of the single metric, else the score (for `pareto`, equal weights).

        None where a round lacks it.
        """
        if self.single is not None:
            return row.value(self.single)
        values = self.per_round(row)
        return log_t_interval(values) if values else None

    def per_round(self, row: SummaryRow) -> list[float]:
        """The value in each round; empty where a round lacks it."""
        if self.single is not None:
            return row.per_round(self.single)
        columns = [row.per_round(name) for name in self.metrics]
        if not all(columns) or not all(0 < v < math.inf for column in columns for v in column):
            return []
        total = math.fsum(weight for _, weight in self.weights)
        powers = [metric_of(name).sign * weight / total for name, weight in self.weights]
        rounds = zip(*columns, strict=True)
        return [math.prod(v**p for v, p in zip(values, powers, strict=True)) for values in rounds]


def single(name: str) -> Objective:
    """The objective of one metric alone."""
    return Objective(((name, 1.0),))


THROUGHPUT = single("throughput")


def parse_objective(written: object) -> Objective:
    """From a scenario's `objective`: a name, a mapping to weights, or a list.

    Raises ValueError for anything else.
    """
    if isinstance(written, str):
        return single(written)
    if isinstance(written, Mapping):
        known = tuple((str(k), float(v)) for k, v in written.items() if v is not None)
        if known:
            return Objective(known)
    elif isinstance(written, list | tuple) and written:
        return Objective(tuple((str(name), 1.0) for name in written), pareto=len(written) > 1)
    raise ValueError(f"{written!r} is no objective")


def objective_of(scenario: Mapping[str, object]) -> Objective:
    """The objective of a resolved scenario, with co-located models' throughputs by their weights.

    Raises ValueError for what is no objective.
    """
    written = parse_objective(scenario.get("objective") or "throughput")
    others = tuple(
        (metric_name(name, "throughput"), float(other["weight"]))
        for name, other in models_colocated(scenario).items()
        if other.get("weight")
    )
    if written.pareto or not others:
        return written
    return Objective((*written.weights, *others))
