"""What page 1 decides, as rows and numbers: HTML, PDF, terminal and JSON all say it from here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import dropwhile

from harness.analysis.best import choose, close, indifference_of, ranked
from harness.analysis.constraints import satisfies
from harness.analysis.intervals import Interval
from harness.analysis.knee import CLEARLY, cost_metrics, times
from harness.analysis.objective import THROUGHPUT
from harness.analysis.summary import SummaryRow
from harness.report.model.context import Context
from harness.report.model.manifest_facts import device_gpu, number
from harness.results.grouping import grouped
from harness.scenario.metrics import latency_name

LIMITS = 4
"""Most latency limits that are looked at where the scenario gives none."""
MARGIN, STEP_MIB = 0.1, 256
"""GPU memory to ask for: a tenth more than the peak that was seen, rounded up to so many MiB."""
MILLION = 1e6
_TAILS = ("p99", "p95", "p90", "p50")


@dataclass(frozen=True, slots=True)
class Rival:
    """A point that the recommended one is compared with."""

    row: SummaryRow
    ratio: Interval | None
    """Throughput of the recommended point over its own; None where it misses a constraint."""
    same_precision: bool


@dataclass(frozen=True, slots=True)
class LastPercent:
    """What the best value costs beyond the recommended point's."""

    row: SummaryRow
    gain: Interval | None
    """How many times better it is."""
    costs: Mapping[str, float]
    """Metric → how many times as much it needs; what is about the same is left out."""


@dataclass(frozen=True, slots=True)
class Limited:
    """What to take where the tail latency must stay below a limit; None is no limit."""

    limit_ms: float | None
    row: SummaryRow | None


@dataclass(frozen=True, slots=True)
class Decision:
    """Page 1 before any words."""

    take: SummaryRow | None
    decided: bool
    """Whether `take` is recommended; else it has the best value, and no difference is shown."""
    last_percent: LastPercent | None
    rivals: tuple[Rival, ...]
    percentile: str
    """Of the tail latency that the page speaks of; `mean` where no point has a percentile."""
    limits: tuple[Limited, ...]
    backends: tuple[SummaryRow, ...]
    """The recommended point of each series by itself, best first."""


@lru_cache(maxsize=4)
def decide(context: Context) -> Decision:
    """Everything that page 1 decides; works on empty runs, and where all failed."""
    choice = context.choice
    take = choice.recommended or choice.best
    percentile = tail(context, take)
    return Decision(
        take, choice.recommended is not None, last_percent(context), _rivals(context, take),
        percentile, _limits(context, percentile), _backends(context),
    )  # fmt: skip


def tail(context: Context, take: SummaryRow | None) -> str:
    """The highest percentile that `take` and half of the ranked points have."""
    rows = ranked(context.rows)
    for percentile in _TAILS:
        having = [r for r in rows if finite(r.value(latency_name(percentile)))]
        if take in having and 2 * len(having) >= len(rows):
            return percentile
    return "mean"


def finite(value: Interval | None) -> bool:
    """Whether there is a finite value."""
    return value is not None and math.isfinite(value.value)


def last_percent(context: Context) -> LastPercent | None:
    """Of the scenario's objective; None where the best value is recommended, or costs no more."""
    best, pick = context.choice.best, context.choice.recommended
    if best is None or pick is None or best is pick:
        return None
    factors = {m: times(best, pick, m) for m in cost_metrics([best, pick], context.objective)}
    dear = {m: f for m, f in factors.items() if f >= CLEARLY}
    return LastPercent(
        best, context.differences.advantage(best, pick, context.objective), dear
    ) if dear else None  # fmt: skip


def _rivals(context: Context, take: SummaryRow | None) -> tuple[Rival, ...]:
    """The reference at `take`'s precision and the run's reference, each at its own best load."""
    if take is None or context.reference is None:
        return ()
    precision, mine = precision_of(context, take), context.name(take)
    kind = context.spec(context.reference).get("kind")
    names = [context.reference]
    if precision_of(context, context.reference) != precision:
        same = (r.backend for r in context.rows
                if context.spec(r.backend).get("kind") == kind
                and precision_of(context, r) == precision)  # fmt: skip
        names = [*list(dict.fromkeys(same))[:1], *names]
    rivals = []
    for name in names:
        row = _own_best(context, [r for r in context.rows if r.backend == name])
        if row is not None and context.name(row) != mine:
            both = satisfies(row, context.bounds) == "yes"
            ratio = context.differences.advantage(take, row, THROUGHPUT) if both else None
            rivals.append(Rival(row, ratio, precision_of(context, row) == precision))
    return tuple(rivals)


def precision_of(context: Context, row: SummaryRow | str) -> str:
    """A backend's precision; `fp32` where its settings do not say, empty where nobody knows it."""
    backend = row if isinstance(row, str) else row.backend
    return str(context.spec(backend).get("precision", "fp32"))


def _own_best(context: Context, rows: Sequence[SummaryRow]) -> SummaryRow | None:
    share, run = indifference_of(context.scenario), context.differences
    for bounds in (context.bounds, {}):
        found = choose(rows, context.objective, bounds, share, run)
        if found.best is not None:
            return found.recommended or found.best
    return None


def _backends(context: Context) -> tuple[SummaryRow, ...]:
    found = (_own_best(context, rows) for rows in grouped(context.rows, context.name).values())
    known = [(value.value, r) for r in found if r and (value := context.objective.value(r))]
    return tuple(r for _, r in sorted(known, key=lambda p: -context.objective.sign * p[0]))


def _limits(context: Context, percentile: str) -> tuple[Limited, ...]:
    """Choices under limits of the tail: the scenario's own, or round ones between the points'."""
    metric = latency_name(percentile)
    if percentile == "mean" or context.choice.is_front or metric in context.bounds:
        return ()
    share, run = indifference_of(context.scenario), context.differences
    every, objective = context.choice.candidates, context.objective
    whole = all(v is not None and v.low is not None for v in map(objective.value, every))

    def under(limit: float) -> SummaryRow | None:
        # of what holds the scenario's constraints; the interval that is shown beside it holds too
        rows = [r for r in every if (v := r.value(metric)) and (v.high or v.value) <= limit]
        bounds = {metric: {"max": limit}}
        rows = list(dropwhile(lambda r: satisfies(r, bounds) != "yes", rows))
        if rows and whole:  # the best comes first, and what is far from it need not be judged
            rows = close(rows, rows[0], objective, share, run)
        found = choose(rows, objective, bounds, share, run)
        return found.recommended or found.best

    free = context.choice.recommended or context.choice.best
    found: list[Limited] = []
    for limit in _round_limits(every, metric):
        row = under(limit)
        if row is not None and row is not free and (not found or found[-1].row is not row):
            found.append(Limited(limit, row))
    step = max(1, math.ceil(len(found) / LIMITS))
    return (*found[::-1][::step][::-1], Limited(None, free)) if free else ()


def _round_limits(rows: Sequence[SummaryRow], metric: str) -> list[float]:
    """1, 2 and 5 times powers of ten between the smallest and the largest of the rows' values."""
    values = [v.value for r in rows if (v := r.value(metric)) and finite(v) and v.value > 0]
    if not values:
        return []
    ends = [math.floor(math.log10(v)) for v in (min(values), max(values))]
    steps = (m * 10.0**e for e in range(ends[0], ends[1] + 1) for m in (1, 2, 5))
    return [s for s in steps if min(values) < s < max(values)]


# ------------------------------------------------------------------------- what a point stands for


def with_margin(mib: float, margin: float = MARGIN) -> int:
    """A peak and its margin, up to whole MiB."""
    return math.ceil(mib * (1 + margin) - 1e-6)


def ask_mib(row: SummaryRow) -> int | None:
    """GPU memory to ask for."""
    peak = row.gpu_memory_mib
    return None if peak is None else math.ceil(with_margin(peak) / STEP_MIB) * STEP_MIB


@dataclass(frozen=True, slots=True)
class Cost:
    """What a million inferences cost at a point's rate, on the whole of one card or machine."""

    seconds: float | None
    watt_hours: float | None
    money: float | None


def cost(context: Context, row: SummaryRow) -> Cost:
    """Time, energy of the GPU and money."""
    rate, joules = row.throughput, row.joules_per_inference
    seconds = MILLION / rate.value if rate and rate.value > 0 else None
    price = number(context.scenario, "price_per_gpu_hour")
    return Cost(
        seconds,
        MILLION * joules.value / 3600 if joules else None,
        price * seconds / 3600 if price and seconds else None,
    )


def gpu_total_mib(context: Context, row: SummaryRow) -> float | None:
    """Memory of the card that the point ran on."""
    return number(device_gpu(context.manifest, context.spec(row.backend)), "memory_mib")


# ----------------------------------------------------------------------------------- for machines


def record(context: Context) -> dict[str, object]:
    """Page 1 for JSON: the recommended point, the limits and the cost; numbers with their units in
    the names, None where something is not known.
    """
    found = decide(context)
    take, last = found.take, found.last_percent
    return {
        "recommended": take and _point(context, take),
        "difference_shown": found.decided,
        "tail": found.percentile,
        "last_percent": last and {
            "point": last.row.point, "gain": _ends(last.gain), "times": dict(last.costs),
        },
        "against": [
            {"point": r.row.point, "same_precision": r.same_precision, "throughput": _ends(r.ratio)}
            for r in found.rivals
        ],
        "limits": [
            {f"{found.percentile}_ms": c.limit_ms, "point": c.row and c.row.point}
            for c in found.limits
        ],
        "backends": [r.point for r in found.backends],
    }  # fmt: skip


def _point(context: Context, row: SummaryRow) -> dict[str, object]:
    spent = cost(context, row)
    measured = ("throughput", "latency_p50_ms", "latency_p95_ms", "latency_p99_ms",
                "gpu_memory_mib", "host_memory_mib", "cpu_cores", "gpu_power_w")  # fmt: skip
    return {
        "point": row.point, "backend": row.backend, "config": row.config,
        "batch_size": row.batch_size, "sizes": row.sizes, "concurrency": row.concurrency,
        "request_rate": row.request_rate, "gpu_memory_to_ask_mib": ask_mib(row),
        **{name: _ends(row.value(name)) for name in measured},
        "per_million": {
            "seconds": spent.seconds, "watt_hours": spent.watt_hours, "money": spent.money,
        },
    }  # fmt: skip


def _ends(value: Interval | None) -> dict[str, float | None] | None:
    if value is None or not finite(value):
        return None
    return {"value": value.value, "low": value.low, "high": value.high}
