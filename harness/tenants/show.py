"""A sharing run in the terminal, as lines while it goes on, and as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import asdict

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.analysis.intervals import Interval
from harness.report.model import blocks as b
from harness.report.model.numbers import significant
from harness.results.events import Event, Note, Status
from harness.results.rows import FailureRow, MeasurementRow
from harness.system.text import harmless
from harness.tenants import predicted_tables as p
from harness.tenants.prediction import Prediction, predictions
from harness.tenants.results import Compared, Results, tenant_pairs
from harness.tenants.tables import answers, fit_table, matrix, sharing_table, tenant_table

TONES = {"good": "green", "bad": "red", "muted": "dim", "": ""}
WIDTH = 160
"""Columns where no terminal sets them."""


def watching(*, silent: bool, as_json: bool) -> Callable[[Event], None]:
    """What is told while a run goes on: JSON lines on stdout, or plain lines on stderr."""

    def plain(event: Event) -> None:
        if isinstance(event, MeasurementRow) and event.point.count("/") == 1:
            print(f"round {event.round + 1}: {event.point}: "
                  f"{significant(event.throughput)} inferences/s",
                  file=sys.stderr, flush=True)  # fmt: skip
        elif isinstance(event, FailureRow):
            print(f"{event.point} failed: {event.message}", file=sys.stderr, flush=True)
        elif isinstance(event, Note | Status):
            print(event.text, file=sys.stderr, flush=True)

    if as_json:
        return lambda event: print(json.dumps(event.to_event(), allow_nan=False), flush=True)
    return (lambda _: None) if silent else plain


def page(found: Results) -> Group:
    """The answers, and every table."""
    predicted = predictions(found)
    parts: list[RenderableType] = [Text(text) for text in answers(found)]
    parts += [Text(text) for each in predicted for text in p.words(each)]
    if found.table:
        parts.append(drawn(sharing_table(found), "Replicas beside one tenant with the same load"))
    if found.design.together:
        parts.append(drawn(tenant_table(found), "All tenants together, and each alone"))
    maps = [(mode, table) for mode in found.modes if (table := matrix(found, mode)) is not None]
    parts += [drawn(table, f"Interference under {mode.words}") for mode, table in maps]
    for each in predicted:
        parts += [drawn(table, f"{title} under {each.mode.words}")
                  for title, table in p.parts(each)]  # fmt: skip
    if found.sharing.target is not None:
        parts.append(drawn(fit_table(found), "How many replicas hold the target"))
    return Group(*parts)


def drawn(table: b.Table, title: str) -> Table:
    """A report's table for the terminal: the interval stands behind its value."""
    made = Table(title=title, title_justify="left", show_edge=False)
    for header in table.headers:
        made.add_column(header.text, justify="right" if header.number else "left")
    for row in table.rows:
        made.add_row(*(
            Text(harmless(f"{cell.text}\n{cell.range}" if cell.range else cell.text),
                 style=TONES[cell.tone])
            for cell in row
        ))  # fmt: skip
    return made


def console() -> Console:
    """Where pages go."""
    found = Console()
    if not found.is_terminal:
        found.width = WIDTH
    return found


def to_json(found: Results) -> dict[str, object]:
    """All of it as data; intervals have `value`, `low`, `high` and `rounds`."""
    return {
        "scenario": found.scenario.scenario, "complete": found.data.complete,
        "answers": list(answers(found)),
        "table": [
            {"cell": row.cell.id, "dedicated": row.dedicated.id, "replicas": row.count,
             "load": row.load, "mode": row.cell.mode.id, **_compared(compared)}
            for row, compared in found.table
        ],
        "tenants": [
            {"mode": mode.id, "tenant": name, **_compared(compared)}
            for mode in found.modes for name, compared in found.tenants(mode)
        ],
        "interference": [
            {"mode": mode.id, "of": row, "beside": column, "slow_down": _interval(slow)}
            for mode in found.modes for row, column in tenant_pairs(found.sharing)
            if (slow := found.slowed(mode, row, column)) is not None
        ],
        "predicted": [_predicted(each) for each in predictions(found)],
        "target": [
            {"mode": mode.id, "holds": found.holds(mode), "tried": [
                {"replicas": f.fit.count, "verdict": f.verdict, "why": f.why,
                 "latency_p99_ms": _interval(f.worst)} for f in found.fits(mode)]}
            for mode in found.modes if found.sharing.target is not None
        ],
        "failures": [{"cell": cell.id, "why": why} for cell, why in found.failures],
        "flags": found.flags,
    }  # fmt: skip


def _predicted(found: Prediction) -> dict[str, object]:
    return {
        "mode": found.mode.id, "mean_error": found.error, "acts_like": found.mixtures,
        "pairs": [
            {"of": row, "beside": column, "measured": found.measured.get((row, column)),
             "slow_down": {name: by[row, column] for name, by in found.by.items()}}
            for row in found.mixtures for column in found.mixtures
        ],
    }  # fmt: skip


def _interval(found: Interval | None) -> dict[str, object] | None:
    return None if found is None else asdict(found)


def _compared(found: Compared) -> dict[str, object]:
    row = found.row if found.row is not None and found.row.measurements else None
    names = ("throughput", "latency_p99_ms", "joules_per_inference", "gpu_memory_mib")
    return {
        **{name: _interval(row.value(name)) if row else None for name in names},
        "throughput_kept": _interval(found.throughput_kept),
        "p99_ratio": _interval(found.p99_ratio), "mean_ratio": _interval(found.mean_ratio),
        "joules_ratio": _interval(found.joules_ratio), "valid": bool(row and row.valid),
        "flags": list(row.flags) if row else [],
    }  # fmt: skip
