"""From measurement rows to one summary row a point.

The round is the unit: a point's value is the geometric mean of its per-round values, and its
interval the 95 % t-interval on their logs (MEASUREMENT 8). With one round there is no interval.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from harness.analysis.intervals import Interval, log_t_interval
from harness.results.rows import PERCENTILES, FailureRow, MeasurementRow


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One point over its rounds."""

    point: str
    backend: str
    config: str
    batch_size: int
    concurrency: int | None
    request_rate: float | None
    rounds: int
    throughput: Interval | None
    latency_ms: Mapping[str, Interval | None]
    """By percentile; None where a round had too few requests for it."""
    latency_mean_ms: Interval | None
    server_us: Mapping[str, float]
    """Mean over rounds of the server-side parts, per request."""
    host_memory_mib: float | None
    """The largest of the rounds' peaks, as the GPU's."""
    gpu_memory_mib: float | None
    gpu_utilization_percent: float | None
    gpu_power_w: Interval | None
    joules_per_inference: Interval | None
    """The GPU's energy by the inferences; None unless every round has it."""
    cpu_percent: float | None
    requests: int
    errors: int
    flags: tuple[str, ...]
    valid: bool
    failures: tuple[FailureRow, ...] = ()
    measurements: tuple[MeasurementRow, ...] = ()

    @property
    def searched(self) -> bool:
        """Whether a search for a capacity chose the load: shown there, ranked nowhere."""
        return bool(self.measurements) and all("search" in m.details for m in self.measurements)

    @property
    def inferences_per_joule(self) -> Interval | None:
        """The reciprocal of `joules_per_inference`."""
        joules = self.joules_per_inference
        return None if joules is None else joules.reciprocal

    @property
    def host_memory_mib_least(self) -> float | None:
        """The smallest of the rounds' peaks: with the largest a range, not an interval."""
        return _smallest([m.host_memory_mib for m in self.measurements])

    @property
    def gpu_memory_mib_least(self) -> float | None:
        """As `host_memory_mib_least`."""
        return _smallest([m.gpu_memory_mib for m in self.measurements])

    @property
    def load_value(self) -> float:
        """The concurrency or the request rate, for sorting and axes."""
        return self.concurrency if self.concurrency is not None else self.request_rate or 0.0


def summarize(
    measurements: Iterable[MeasurementRow], failures: Iterable[FailureRow] = ()
) -> list[SummaryRow]:
    """One row per point that was measured or failed, in order of first appearance."""
    from harness.measure.validity import INVALIDATES

    by_point: dict[str, list[MeasurementRow]] = {}
    failed: dict[str, list[FailureRow]] = {}
    for row in measurements:
        by_point.setdefault(row.point, []).append(row)
    for failure in failures:
        failed.setdefault(failure.point, []).append(failure)
    return [
        _summary(
            point,
            sorted(by_point.get(point, []), key=lambda r: r.round),
            failed.get(point, []),
            INVALIDATES,
        )
        for point in dict.fromkeys([*by_point, *failed])
    ]


def _summary(
    point: str, rows: list[MeasurementRow], failures: list[FailureRow], invalidates: frozenset[str]
) -> SummaryRow:
    done = {r.round for r in rows}
    open_failures = tuple(f for f in failures if f.round not in done)  # a resumed round may succeed
    flags = list(dict.fromkeys(flag for r in rows for flag in r.flags))
    flags += dict.fromkeys(f"failed_{f.reason}" for f in open_failures)
    if rows:
        first = rows[0]
        identity = (first.backend, first.config, first.batch_size, first.concurrency,
                    first.request_rate)  # fmt: skip
    else:
        identity = _identity(failures[0])
    backend, config, batch_size, concurrency, request_rate = identity
    parts = {key for r in rows for key in r.server_us}
    return SummaryRow(
        point=point, backend=backend, config=config, batch_size=batch_size,
        concurrency=concurrency, request_rate=request_rate, rounds=len(rows),
        throughput=log_t_interval([r.throughput for r in rows]) if rows else None,
        latency_ms={p: _over_rounds([r.latency_ms.get(p) for r in rows]) for p in PERCENTILES},
        latency_mean_ms=_over_rounds([r.latency_mean_ms for r in rows]),
        server_us={k: _mean([r.server_us.get(k) for r in rows]) or 0.0 for k in sorted(parts)},
        host_memory_mib=_largest([r.host_memory_mib for r in rows]),
        gpu_memory_mib=_largest([r.gpu_memory_mib for r in rows]),
        gpu_utilization_percent=_mean([r.gpu_utilization_percent for r in rows]),
        gpu_power_w=_over_rounds([r.gpu_power_w for r in rows]),
        joules_per_inference=_over_rounds([r.joules_per_inference for r in rows]),
        cpu_percent=_mean([r.cpu_percent for r in rows]),
        requests=sum(r.requests for r in rows), errors=sum(r.errors for r in rows),
        flags=tuple(flags), valid=_believable(rows, invalidates),
        failures=open_failures, measurements=tuple(rows),
    )  # fmt: skip


def _believable(rows: Sequence[MeasurementRow], invalidates: frozenset[str]) -> bool:
    """Whether no rule was broken in half of the rounds or more.

    Rules about noise (a drift that was none) misfire in one round of a hundred or so; what is
    really wrong with a point shows in most of its rounds.
    """
    broken = sum(bool(invalidates.intersection(row.flags)) for row in rows)
    return bool(rows) and 2 * broken < len(rows)


def _identity(failure: FailureRow) -> tuple[str, str, int, int | None, float | None]:
    from harness.scenario.points import DEFAULT_CONFIG, Point

    try:
        point = Point.parse(failure.point)
    except ValueError:  # an unreadable name must not cost the report
        return failure.backend, DEFAULT_CONFIG, 0, None, None
    return point.backend, point.config, point.batch_size, point.concurrency, point.request_rate


def _over_rounds(values: Sequence[float | None]) -> Interval | None:
    """None unless every round has the value: it is reported for all rounds or not."""
    known = [v for v in values if v is not None]
    return log_t_interval(known) if known and len(known) == len(values) else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return math.fsum(known) / len(known) if known else None


def _smallest(values: Sequence[float | None]) -> float | None:
    return min((v for v in values if v is not None), default=None)


def _largest(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return max(known) if known else None
