"""Two readings of a server as rates: what it did between them, model by model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.monitor.reading import Reading
from harness.triton.counters.statistics import difference


@dataclass(frozen=True, slots=True)
class ModelRates:
    """One model between two readings. A request counts in the interval in which it ended."""

    requests: int
    """That succeeded; to Triton that includes those a Python model answered with an error."""
    failures: int
    requests_per_s: float
    failures_per_s: float
    inferences_per_s: float
    """Requests times their batch sizes."""
    mean_batch: float | None
    """Inferences an execution: what batching put together. None where nothing was executed."""
    server_ms: float | None
    """Mean time a successful request was in the server; None without one, as the parts below."""
    queue_ms: float | None
    compute_ms: float | None
    """Input, inference and output together."""
    cache_hits_per_s: float
    pending: float | None
    """Requests that waited for execution at the second reading."""

    @property
    def ended(self) -> int:
        """Requests that were answered, one way or the other."""
        return self.requests + self.failures


@dataclass(frozen=True, slots=True)
class Interval:
    """What a server did between two readings."""

    begin: Reading
    end: Reading
    models: Mapping[str, ModelRates | None] = field(default_factory=dict)
    """None for a model of which nothing is known: its counters went backwards, since it or the
    server was started again, or the server was away and may have been.
    """

    @property
    def seconds(self) -> float:
        """Between the two readings."""
        return (self.end.t_ns - self.begin.t_ns) / 1e9


def between(begin: Reading, end: Reading, *, away: bool = False) -> Interval:
    """The rates from one reading to the next. A model that is new began at zero.

    With `away` the server did not answer in between: a server that was started again can't be told
    from one that was cut off, so nothing is known.
    """
    interval = Interval(begin, end)
    models = {name: None if away else _rates(interval, name) for name in end.counters}
    return Interval(begin, end, models)


def _rates(interval: Interval, name: str) -> ModelRates | None:
    after, before = interval.end.counters[name], interval.begin.counters.get(name, {})
    split = difference(after, before)
    if split is None:
        return None
    seconds, us = interval.seconds, split.server_us
    grown = {key: after[key] - before.get(key, 0.0) for key in ("success_ns", "cache_hits")}
    compute = sum(value for phase, value in us.items() if phase != "queue")
    return ModelRates(
        requests=split.count, failures=split.failures,
        requests_per_s=split.count / seconds, failures_per_s=split.failures / seconds,
        inferences_per_s=split.inferences / seconds,
        mean_batch=split.inferences / split.executions if split.executions else None,
        server_ms=grown["success_ns"] / split.count / 1e6 if split.count else None,
        queue_ms=us["queue"] / 1e3 if us else None,
        compute_ms=compute / 1e3 if us else None,
        cache_hits_per_s=grown["cache_hits"] / seconds,
        pending=interval.end.pending.get(name),
    )  # fmt: skip
