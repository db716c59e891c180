"""Each constraint at a point: whether it holds, with the value, and what would let it be judged."""

from __future__ import annotations

from dataclasses import dataclass

from harness.analysis.constraints import Bound, Judgement, judge
from harness.analysis.metrics import metric_of, split_name
from harness.analysis.summary import SummaryRow
from harness.measure.quantiles import FLOORS
from harness.report.model.context import Context
from harness.report.model.manifest_facts import mapping, number
from harness.report.model.numbers import NOT_AVAILABLE, value_text

SIGNS = {"yes": "✓", "no": "✗", "unknown": "?"}
ASCII = {"✓": "ok", "✗": "no"}
"""For terminals that have no such letters: a question mark in their place would mean something."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One constraint at one point."""

    metric: str
    bound: Bound
    judgement: Judgement
    text: str
    """`✓ 14.3`, `✗ 27`, `? n/a`."""
    needs: str
    """The setting that would let it be judged; empty where it is, and where none would."""


def judged(context: Context, row: SummaryRow) -> list[Judged]:
    """The scenario's constraints at a point, in their order."""
    return [_judged(context, row, name, bound) for name, bound in context.bounds.items()]


def _judged(context: Context, row: SummaryRow, name: str, bound: Bound) -> Judged:
    found = judge(row, name, bound)
    value = row.value(name)
    shown = NOT_AVAILABLE if value is None else value_text(value)
    needs = _not_had(context, found.needs) or (
        _lacking(context, row, name) if found.holds == "unknown" else ""
    )
    return Judged(name, bound, found, f"{SIGNS[found.holds]} {shown}", needs)


def _not_had(context: Context, setting: str) -> str:
    """A setting that would tell; where the scenario has it already, what kept it from being so."""
    key, _, count = setting.partition(": ")
    asked = mapping(context.scenario, "measurement")
    if key != "measurement.rounds" or int(count) > (number(asked, "rounds") or 0):
        return setting
    budget = asked.get("budget") or mapping(context.scenario, "search").get("budget")
    return "a larger measurement.budget" if budget else "the rounds that it lacks"


def _lacking(context: Context, row: SummaryRow, name: str) -> str:
    """What would have made a metric known that is not."""
    if not row.rounds or row.value(name) is not None or split_name(name)[0]:
        return ""
    metric = metric_of(name)
    if metric.percentile:
        return f"measurement.window_requests: {FLOORS[metric.percentile]}"
    far = mapping(context.spec(row.backend), "server").get("url") is not None
    return "server.telemetry" if far and metric.shared else ""


def needed(context: Context, name: str) -> str:
    """What most points need for one constraint to be judged; empty where all are, or none can."""
    found = [_judged(context, row, name, context.bounds[name]).needs for row in context.rows]
    known = [setting for setting in found if setting]
    return max(known, key=known.count, default="")
