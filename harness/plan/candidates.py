"""The points of a run that hold a latency target, each with what one replica of it carries."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from harness.analysis.best import ranked
from harness.analysis.capacity import CapacitySummary, summarize_capacity
from harness.analysis.constraints import Bounds, Holds, bounds_of, holds, satisfies
from harness.analysis.intervals import Interval
from harness.analysis.metrics import alone, over_rounds
from harness.analysis.objective import objective_of
from harness.analysis.summary import SummaryRow, summarize
from harness.plan.memory_model import memory_rows
from harness.plan.units import measured, stated
from harness.report.model import labels
from harness.results.rows import MeasurementRow
from harness.results.store import RunData
from harness.scenario.sizes import decisive

P99 = "latency_p99_ms"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One configuration, and what was measured of one replica of it."""

    point: str
    backend: str
    config: str
    batch_size: int
    basis: str
    """How the load came, in words."""
    rate: float
    """Inferences a second of one replica."""
    rate_low: float
    """The lower end of its interval; the rate itself where there is none."""
    has_interval: bool
    p99_ms: float | None
    gpu_mib: float | None
    """Largest peak of the process tree over all rounds; None without a GPU."""
    gpu_scope: str
    host_mib: float | None
    busy_percent: float | None
    """Share of the time in which the GPU was busy, at `rate`."""
    joules_per_inference: float | None
    knee: float | None = None
    """Inferences a second from which requests mostly wait; None where none was searched for."""
    compared: bool = False
    """Whether its memory is of a session that compared outputs too, as there was no other."""


@dataclass(frozen=True, slots=True)
class Found:
    """The candidates, and the points of which the target is neither shown to hold nor to fail."""

    holding: tuple[Candidate, ...]
    undecided: tuple[str, ...]
    nearest: tuple[str, float] | None
    """The point with the lowest p99, and it in ms."""
    invalid: Mapping[str, str] = field(default_factory=dict)
    """Points that were measured and can't be believed, with why."""


@dataclass(frozen=True, slots=True)
class Points:
    """A run, ready to be asked for several targets."""

    rows: tuple[SummaryRow, ...]
    capacities: tuple[CapacitySummary, ...]
    bounds: Bounds
    """The scenario's constraints but that of p99, which the target takes the place of."""

    def holding(self, target_ms: float) -> Found:
        """What holds p99 ≤ `target_ms` and the scenario's other constraints."""
        bounds = {**self.bounds, P99: {"max": target_ms}}
        usables = ranked(self.rows)
        answers = [(row, _answer(row, bounds, target_ms)) for row in usables]
        holding = [_of_row(row) for row, answer in answers if answer == "yes"]
        label = decisive(found.sizes for found in self.capacities)
        searched = (found for found in self.capacities if found.sizes == label)
        holding += [c for found in searched if (c := self._of_search(found, target_ms))]
        known = [(row.point, v.value) for row in usables if (v := row.value(P99)) is not None]
        return Found(
            tuple(holding), tuple(row.point for row, answer in answers if answer == "unknown"),
            min(known, key=lambda pair: pair[1], default=None),
            {r.point: labels.why_invalid(r) for r in self.rows if r.rounds and not r.valid},
        )  # fmt: skip

    def larger(self, found: Found, planned: Candidate) -> Iterator[str]:
        """That a longer measurement may show one to hold the target that carries more."""
        rates = {row.point: row.throughput.value for row in self.rows if row.throughput}
        beyond = {p: rates[p] for p in found.undecided if rates.get(p, 0.0) > planned.rate}
        if beyond:
            most = max(beyond, key=lambda point: beyond[point])
            yield (
                f"{labels.counted(len(beyond), 'undecided point')} measured more inferences a "
                f"second than what is planned, {most} the most ({measured(beyond[most])}): with "
                "more requests (measurement.window) or rounds fewer replicas may do"
            )

    def _of_search(self, found: CapacitySummary, target_ms: float) -> Candidate | None:
        """A searched capacity counts where its own target was p99 and as strict."""
        if found.percentile != "p99" or found.target_ms > target_ms or found.rate is None:
            return None
        tried = [
            m for row in self.rows for m in row.every
            if m.details.get("search") == found.point and row.valid and not row.failures
        ]  # fmt: skip
        if not tried:
            return None
        compared = {n for row in self.rows if row.backend == found.backend for n in row.compared}
        held_alone = alone(tried, compared)
        at_most = found.rate.value * 1.001
        held = [m for m in tried if (m.request_rate or 0.0) <= at_most]
        kept = (row for row in self.rows if any(m in held for m in row.measurements))
        if any(satisfies(row, self.bounds) == "no" for row in kept):
            return None  # a constraint of the scenario fails at a rate that it would carry
        rate = _scaled(found.rate, found.batch_size)
        return Candidate(
            found.point, found.backend, found.config, found.batch_size,
            f"search for the capacity, p99 ≤ {stated(found.target_ms)} ms", *_rate(rate),
            None, _largest(held_alone, "gpu_memory_mib"), _scope(tried),
            _largest(held_alone, "host_memory_mib"), _largest(held, "gpu_utilization_percent"),
            _value(over_rounds(held, "joules_per_inference")) if held else None,
            None if found.knee is None else found.knee.value * found.batch_size,
            any(m.round in compared for m in held_alone),
        )  # fmt: skip


def _answer(row: SummaryRow, bounds: Bounds, target_ms: float) -> Holds:
    """Whether all bounds hold; a lower percentile may show that an unknown p99 fails."""
    answer = satisfies(row, bounds)
    if answer != "unknown":
        return answer
    below = (f"latency_{key}_ms" for key in ("p50", "p90", "p95"))
    return "no" if any(holds(row, k, {"max": target_ms}) == "no" for k in below) else answer


def points_of(data: RunData) -> Points:
    """The run's points, in order of first appearance."""
    bounds = bounds_of(data.scenario)
    bounds.pop(P99, None)
    return Points(
        tuple(summarize(data.measurements, data.failures)),
        tuple(summarize_capacity(data.capacities, data.measurements)), bounds,
    )  # fmt: skip


def _of_row(row: SummaryRow) -> Candidate:
    rows = memory_rows(row)
    throughput = row.throughput
    assert throughput is not None, "of a point that was measured"
    basis = (
        f"arrivals at {stated(row.request_rate)} requests a second" if row.request_rate is not None
        else f"closed loop of {labels.counted(row.concurrency or 0, 'caller')}"
    )  # fmt: skip
    return Candidate(
        row.point, row.backend, row.config, row.batch_size, basis, *_rate(throughput),
        _value(row.value(P99)), _largest(rows, "gpu_memory_mib"), _scope(rows),
        _largest(rows, "host_memory_mib"), row.plain("gpu_utilization_percent"),
        _value(row.joules_per_inference), compared=row.memory_compared,
    )  # fmt: skip


def _rate(found: Interval) -> tuple[float, float, bool]:
    low = found.low
    return found.value, found.value if low is None else low, low is not None


def _scaled(found: Interval, by: int) -> Interval:
    low, high = (None if end is None else end * by for end in (found.low, found.high))
    return Interval(found.value * by, low, high, found.rounds)


def _value(found: Interval | None) -> float | None:
    return None if found is None else found.value


def _largest(rows: Sequence[MeasurementRow], name: str) -> float | None:
    values: list[float | None] = [getattr(row, name) for row in rows]
    return max((v for v in values if v is not None), default=None)


def _scope(rows: Sequence[MeasurementRow]) -> str:
    """`device` where one of them is the difference on the whole device."""
    scopes = {row.gpu_memory_scope for row in rows} - {""}
    return "device" if "device" in scopes else "process" if scopes else ""


def own_sessions(scenario: Mapping[str, object]) -> bool:
    """Whether each point had a session of its own, so that its memory is no other's before it: as
    `harness.run.rounds` decides.
    """
    names = (*bounds_of(scenario), *objective_of(scenario).metrics)
    return any(name.endswith("_memory_mib") for name in names)
