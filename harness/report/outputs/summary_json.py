"""summary.json: what a run found, for programs. Its schema is `KEYS`, versioned.

A key may be added without a new version; one that goes, or changes its meaning, makes one. Points
and capacities have the columns of the CSV files, so that nothing is called by two names.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial

from harness.analysis.summary import SummaryRow
from harness.analysis.verdict import Verdict, ending
from harness.report.model.context import Context
from harness.report.model.decision import record
from harness.report.model.judged import judged
from harness.report.outputs import csv
from harness.report.sections.answer import answer
from harness.report.sections.capacity import capacities
from harness.system.files import jsonable

SCHEMA = 1


def _of_run(name: str, context: Context) -> object:
    return csv.run_facts(context)[name]


def _ending(context: Context) -> Verdict:
    return ending(context.data, (*context.rows, *context.searched))


KEYS: dict[str, tuple[str, Callable[[Context], object]]] = {
    "schema_version": ("of this file", lambda _: SCHEMA),
    **{name: (f"{name.replace('_', ' ')}, as in `summary.csv`", partial(_of_run, name))
       for name in csv.RUN},
    "complete": ("whether the run reached its end", lambda context: context.data.complete),
    "verdict": ("in words", lambda context: _ending(context).words),
    "exit_code": ("of `harness run`: see the README", lambda context: _ending(context).code),
    "answer": ("the report's first sentences", lambda context: list(map(str, answer(context)))),
    "objective": ("as in the scenario", lambda context: context.scenario.get("objective")),
    "constraints": ("metric → `max`, `min`, `one_round`", lambda context: context.bounds),
    "gate": ("`each` backend must hold them, or `any`", lambda context: (
        context.scenario.get("gate") or "any"
    )),
    "recommended": ("id of a point; null where none is", lambda context: (
        context.choice.recommended.point if context.choice.recommended else None
    )),
    "decision": ("page 1 of the report: what to take, what the last percent costs, what to take "
                 "under a latency limit, the cost of a million inferences", record),
    "ties": ("ids of the points that can't be told apart from the best", lambda context: (
        [row.point for row in context.choice.tied]
    )),
    "points": ("a mapping a point", lambda context: (
        list(map(partial(_point, context), context.rows, csv.summary_records(context)))
    )),
    "capacities": ("a mapping a search, as a row of `capacity.csv`", lambda context: (
        list(map(csv.capacity_record, capacities(context)))
    )),
}  # fmt: skip
"""Key → (its meaning, what it holds)."""
POINT = {
    "…": "the columns of `summary.csv`, but for those that are the same in all rows",
    "…_low": "and `…_high`: ends of the intervals of all metrics, also where the CSV has none",
    "latency_mean_ms": "the mean of the latency",
    "rank": "`1`, or `1=` in a tie; empty where it is not ranked",
    "constraints": "a mapping a constraint",
}
CONSTRAINT = {
    "metric": "its name; of a co-located model `MODEL.METRIC`",
    "max": "at most this; null where it is a minimum",
    "min": "at least this; null where it is a maximum",
    "holds": "`yes`, `no`, or `unknown`: not measured, or the data do not decide it",
    "value": "the metric over the rounds",
    "margin": "from the value to the bound, as a share of it; positive on its good side",
    "needs": "the setting that would let it be judged; empty for none",
}


def render_summary(context: Context) -> str:
    """The file's text; figures that JSON has not are strings (`inf`)."""
    found = {key: get(context) for key, (_, get) in KEYS.items()}
    return json.dumps(jsonable(found), indent=1, ensure_ascii=False) + "\n"


def _point(context: Context, row: SummaryRow, record: csv.Record) -> dict[str, object]:
    bounds = [
        (c.metric, c.bound.get("max"), c.bound.get("min"), c.judgement.holds, c.judgement.value,
         c.judgement.margin, c.needs)
        for c in judged(context, row)
    ]  # fmt: skip
    figures = {name: value for name, value in record.items() if name not in csv.RUN}
    return figures | {
        "rank": context.ranks.get(row.point, ""),
        "constraints": [dict(zip(CONSTRAINT, bound, strict=True)) for bound in bounds],
    }
