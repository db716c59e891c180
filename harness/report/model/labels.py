"""Codes as words: flags, metrics, objectives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from harness.analysis import colocated
from harness.analysis.constraints import Bounds
from harness.analysis.objective import Aim, parse_objective, smaller
from harness.analysis.summary import SummaryRow
from harness.errors import words_of
from harness.measure.validity import INVALIDATES, explain
from harness.report.model.numbers import PERCENTILE_NAMES


def load_text(row: SummaryRow) -> str:
    """`concurrency 4`, `100 requests/s`, or the load's shape, like `ramp`."""
    if row.concurrency is not None:
        return f"concurrency {row.concurrency}"
    if row.request_rate is not None:
        return f"{row.request_rate:g} requests/s"
    return row.point.rpartition("/")[2].replace("_", " ")


def load_label(row: SummaryRow) -> str:
    """The load in short, for a column or an axis: `4`, `100/s`, `ramp`."""
    if row.concurrency is not None:
        return str(row.concurrency)
    return load_text(row).replace(" requests/s", "/s")


def rounds_text(rows: Iterable[SummaryRow]) -> str:
    """`3 rounds`, or `3 to 10 rounds` where some points have more than others."""
    found = [r.rounds for r in rows if r.rounds]
    least, most = min(found, default=0), max(found, default=0)
    return counted(most, "round") if least == most else f"{least} to {most} rounds"


def why_invalid(row: SummaryRow) -> str:
    """`no steady state`: the flags for which an invalid point is so, in short."""
    return ", ".join(f.replace("_", " ") for f in row.flags if f in INVALIDATES)


def place_text(row: SummaryRow) -> str:
    """`batch 4, concurrency 2`: where in the sweep."""
    return f"batch {row.batch_size}, {load_text(row)}"


METRICS: dict[str, tuple[str, str]] = {
    "throughput": ("throughput", " infer/sec"),
    "host_memory_mib": ("host memory", " MiB"),
    "gpu_memory_mib": ("GPU memory", " MiB"),
    "joules_per_inference": ("energy per inference", " J"),
    "errors": ("errors", ""),
    **{f"latency_{p}_ms": (f"{name} latency", " ms") for p, name in PERCENTILE_NAMES.items()},
}
"""Metric of a constraint or objective → its name and unit."""


def metric_words(name: str) -> tuple[str, str]:
    """A metric's name and unit; of a co-located model, `detector's p99 latency`."""
    found = colocated.split_name(name)
    if found is None:
        return METRICS.get(name, (name, ""))
    model, metric = found
    if metric == colocated.PRESENT:
        return f"{model} beside it", ""
    title, unit = METRICS.get(metric, (metric, ""))
    return f"{model}'s {title}", unit


def objective_text(objective: Aim) -> str:
    """`maximizing throughput`, `minimizing p99 latency`; several metrics with their weights."""
    wanted = parse_objective(objective)
    names = [metric_words(name)[0] for name in wanted.metrics]
    if wanted.single is not None:
        return f"{'minimizing' if smaller(wanted.single) else 'maximizing'} {names[0]}"
    if wanted.pareto:
        return f"trading {listed(names)} against each other"
    weights = [weight for _, weight in wanted.weights]
    parts = [f"{name} (weight {w:g})" for name, w in zip(names, weights, strict=True)]
    return f"balancing {listed(parts)}"


def bound_text(name: str, bound: Mapping[str, Any]) -> str:
    """`p99 latency ≤ 20 ms`."""
    title, unit = metric_words(name)
    if name.endswith(f"/{colocated.PRESENT}"):
        return title
    sign, limit = ("≤", bound["max"]) if bound.get("max") is not None else ("≥", bound.get("min"))
    return f"{title} {sign} {float(limit or 0):g}{unit}"


def bounds_text(bounds: Bounds) -> str:
    """All constraints, or `None`."""
    return ", ".join(bound_text(k, v) for k, v in bounds.items()) or "None"


def listed(names: Iterable[str], last: str = "and") -> str:
    """`a, b and c`."""
    *head, tail = list(names) or [""]
    return f"{', '.join(head)} {last} {tail}" if head else tail


def some(names: Sequence[str], most: int) -> list[str]:
    """The first names, and how many more there are: `a`, `b`, `5 more`."""
    more = len(names) - most
    return [*names[:most], f"{more} more"] if more > 0 else list(names)


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """`1 point`, `24 points`."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def flag_text(flag: str) -> str:
    """A flag in words; a failed round says why it failed."""
    if flag.startswith("failed_"):
        return f"at least one round failed: {words_of(flag.removeprefix('failed_'))}"
    return explain(flag)
