"""Codes as words: flags, metrics, objectives."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.analysis.constraints import Bound, Bounds
from harness.analysis.metrics import PRESENT, metric_of, split_name
from harness.analysis.objective import Objective
from harness.analysis.summary import SummaryRow
from harness.errors import words_of
from harness.measure.validity import FLAGS, INVALIDATES, short
from harness.scenario import wording

counted = wording.counted


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


def short_load(row: SummaryRow) -> str:
    """The load beside other words: `c4`, `100/s`, `ramp`."""
    return f"{'c' * (row.concurrency is not None)}{load_label(row)}"


def rounds_text(rows: Iterable[SummaryRow]) -> str:
    """`3 rounds`, or `3 to 10 rounds` where some points have more than others."""
    found = [r.rounds for r in rows if r.rounds]
    least, most = min(found, default=0), max(found, default=0)
    return counted(most, "round") if least == most else f"{least} to {most} rounds"


def disturbed_text(every: int, disturbed: int) -> str:
    """`4 of 5 rounds (1 disturbed)`; empty where none was."""
    if not disturbed:
        return ""
    if disturbed == every:
        return f"{counted(every, 'round')}, disturbed"
    return f"{every - disturbed} of {counted(every, 'round')} ({disturbed} disturbed)"


def why_invalid(row: SummaryRow) -> str:
    """`drifted in 2 of 5 rounds`: the flags for which an invalid point is so, in short."""
    return ", ".join(flag_words(row, f) for f in broken(row))


def broken(row: SummaryRow) -> list[str]:
    """The flags for which a point is invalid."""
    return [f for f in row.flags if f in INVALIDATES]


def flag_words(row: SummaryRow, flag: str) -> str:
    """A flag in short, and in how many of the point's rounds it was, where not in all."""
    where = sum(flag in m.flags for m in row.measurements)
    some_rounds = 0 < where < len(row.measurements)
    of = counted(len(row.measurements), "round")
    return f"{short(flag)} in {where} of {of}" if some_rounds else short(flag)


def place_text(row: SummaryRow) -> str:
    """`batch 4, concurrency 2`: where in the sweep."""
    return f"batch {row.request}, {load_text(row)}"


def metric_words(name: str) -> tuple[str, str]:
    """A metric's name and unit; of a co-located model, `detector's p99 latency`."""
    model, key = split_name(name)
    if key == PRESENT:
        return f"{model} beside it", ""
    metric = metric_of(name)
    owner, unit = f"{model}'s " if model else "", f" {metric.unit}" if metric.unit else ""
    return f"{owner}{metric.title}", unit


def objective_text(objective: Objective) -> str:
    """`maximizing throughput`, `minimizing p99 latency`; several metrics with their weights."""
    names = [metric_words(name)[0] for name in objective.metrics]
    if objective.single is not None:
        return f"{'maximizing' if objective.sign > 0 else 'minimizing'} {names[0]}"
    if objective.pareto:
        return f"trading {listed(names)} against each other"
    weights = [weight for _, weight in objective.weights]
    parts = [f"{name} (weight {w:g})" for name, w in zip(names, weights, strict=True)]
    return f"balancing {listed(parts)}"


def bound_text(name: str, bound: Bound) -> str:
    """`p99 latency ≤ 20 ms`."""
    title, unit = metric_words(name)
    if split_name(name)[1] == PRESENT:
        return title
    least, most = bound.get("min"), bound.get("max")
    sign, limit = ("≤", most) if most is not None else ("≥", least)
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


def flag_text(flag: str) -> str:
    """A flag in words; a failed round says why it failed."""
    if flag.startswith("failed_"):
        return f"at least one round failed: {words_of(flag.removeprefix('failed_'))}"
    return FLAGS[flag].words if flag in FLAGS else flag
