"""Several models on one server: what those beside did at each point, and what they cost the first.

Tables for the report, and `colocated.csv`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.analysis import colocated
from harness.analysis.colocated import ColocatedSummary, Pair
from harness.analysis.constraints import Bounds, Holds, holds
from harness.analysis.intervals import Interval, ratio_interval
from harness.analysis.metrics import PRESENT, metric_name
from harness.analysis.summary import SummaryRow
from harness.measure.validity import INVALIDATES
from harness.report.model.blocks import (
    Cell,
    Table,
    figure,
    interval_cell,
    percentile_cell,
    status,
    table,
    word,
)
from harness.report.model.context import Context
from harness.report.model.labels import flag_text, load_label
from harness.report.model.manifest_facts import text
from harness.report.model.numbers import PERCENTILE_NAMES
from harness.report.model.served import served
from harness.results.rows import PERCENTILES, LoadedRow

SHARED_NOTE = (
    "Memory, CPU and GPU readings are of the whole server: of all its models together. Throughput "
    "and latency are each model's own, over the same windows."
)
COLUMNS = (
    "point", "backend", "config", "batch_size", "concurrency", "request_rate", "model",
    "model_batch_size", "model_concurrency", "model_request_rate", "rounds",
    *(f"throughput{end}" for end in ("", "_low", "_high")),
    *(f"latency_{p}_ms{end}" for p in PERCENTILES for end in ("", "_low", "_high")),
    "requests", "errors", "holds_constraints", "flags",
)  # fmt: skip


def colocated_table(context: Context, rows: Sequence[SummaryRow]) -> Table | None:
    """A row a point and co-located model; None where there is none."""
    found = [(row, model) for row in rows for model in colocated.summarize_colocated(row)]
    if not found:
        return None
    percentiles = [
        p for p in PERCENTILES
        if p in ("p50", "p99") or any(m.latency_ms[p] is not None for _, m in found)
    ]  # fmt: skip
    bounded = any(_bounds(context, model.name) for _, model in found)
    headers = [
        "Batch", "Load", "Co-located model", "Its batch", "Its load", "Throughput (infer/sec)",
        *(f"{PERCENTILE_NAMES[p]} (ms)" for p in percentiles), "Errors",
        *(["Its constraints"] if bounded else []), "Status",
    ]  # fmt: skip
    body = [
        [
            figure(str(row.batch_size)), figure(load_label(row)), word(model.name),
            figure(str(model.load["batch_size"])), figure(load_words(model.load)),
            interval_cell(model.throughput),
            *(percentile_cell(p, model.latency_ms[p]) for p in percentiles),
            figure(f"{model.errors:,} of {model.requests:,}" if model.errors else "0"),
            *([_holds_cell(held(context, row, model.name))] if bounded else []), _status(model),
        ]
        for row, model in found
    ]  # fmt: skip
    return table(headers, body, [*served_colocated(context, rows[0]), SHARED_NOTE])


def together_table(context: Context) -> Table | None:
    """Points with co-located models against the same ones alone; None without such pairs."""
    pairs = colocated.pairs(context.rows, context.scenario)
    shown = [p for p in pairs if context.name(p.together) in context.shown]
    pairs = [p for p in shown if p.together.rounds and p.alone.rounds]
    if not pairs:
        return None
    headers = [
        "Configuration", "Beside it", "Batch", "Load",
        *(f"{title} {end}" for title in ("Throughput (infer/sec)", "p50 (ms)", "p99 (ms)")
          for end in ("alone", "together")),
        "Throughput kept",
    ]  # fmt: skip
    body = [
        [
            _name(context, p.together), word(", ".join(colocated.names(p.together))),
            figure(str(p.together.batch_size)), figure(load_label(p.together)),
            interval_cell(p.alone.throughput), interval_cell(p.together.throughput),
            *(percentile_cell(q, row.latency_ms.get(q)) for q in ("p50", "p99")
              for row in (p.alone, p.together)),
            interval_cell(kept(p)),
        ]
        for p in pairs
    ]  # fmt: skip
    note = (
        "Alone: the same configuration without other models on the server. Throughput kept is "
        "together ÷ alone: 1 would mean that the models do not disturb each other."
    )
    return table(headers, body, [note])


def kept(pair: Pair) -> Interval | None:
    """Throughput together ÷ alone; None where a round has none."""
    together, alone = pair.together.measurements, pair.alone.measurements
    try:
        return ratio_interval([m.throughput for m in together], [m.throughput for m in alone])
    except ValueError:
        return None


def _name(context: Context, row: SummaryRow) -> Cell:
    name = context.name(row)
    return word(name, swatch=context.colors[name])


def load_words(load: Mapping[str, Any]) -> str:
    """`4` callers, or `20/s`."""
    if load.get("concurrency") is not None:
        return str(load["concurrency"])
    return f"{float(load['request_rate']):g}/s"


def _bounds(context: Context, model: str) -> Bounds:
    """The bounds of a co-located model that the scenario holds."""
    named = metric_name(model, "")
    present = metric_name(model, PRESENT)
    return {k: b for k, b in context.bounds.items() if k.startswith(named) and k != present}


def held(context: Context, row: SummaryRow, model: str) -> Holds:
    """Whether a co-located model holds its own constraints at a point."""
    answers = {holds(row, key, bound) for key, bound in _bounds(context, model).items()}
    if "no" in answers:
        return "no"
    return "unknown" if "unknown" in answers else "yes"


def _holds_cell(answer: Holds) -> Cell:
    if answer == "yes":
        return word("yes", tone="good")
    return word("no", tone="bad") if answer == "no" else word("not shown", tone="muted")


def _status(model: ColocatedSummary) -> Cell:
    note = "; ".join(flag_text(f) for f in model.flags)
    bad = [f for f in model.flags if f in INVALIDATES]
    shown = bad or [f for f in model.flags if f != "few_requests"]
    if not shown:
        return status("ok", tone="good", note=note)
    said = ", ".join(f.replace("_", " ") for f in shown)
    return status(said, tone="bad" if bad else "", note=note)


def _loaded(context: Context, row: SummaryRow) -> Mapping[str, Mapping[str, Any]]:
    """What was noted when the co-located models were loaded, by name; empty where it was not."""
    loads: list[LoadedRow] = context.data.loads
    mine = [x for x in loads if (x.backend, x.config) == (row.backend, row.config)]
    return next((x.details["colocated"] for x in mine if x.details.get("colocated")), {})


def served_colocated(context: Context, row: SummaryRow) -> list[str]:
    """A sentence a co-located model: how it was served."""
    found = []
    for name, facts in _loaded(context, row).items():
        config = text(facts, "config", default="")
        about = served({"kind": "triton"}, config, None).sentence() if config else ""
        found += [f"{name}: {about}."] if about else []
    return found


def configs_colocated(context: Context, row: SummaryRow) -> tuple[tuple[str, str], ...]:
    """Name and config.pbtxt of each co-located model, as the server had it."""
    loaded = _loaded(context, row).items()
    return tuple(
        (n, config) for n, facts in loaded if (config := text(facts, "config", default=""))
    )


def models_line(context: Context) -> str:
    """`detector (batch 1, load 4)`: the co-located models of a scenario; empty without any."""
    found = colocated.models_colocated(context.scenario)
    return ", ".join(
        f"{name} (batch {other['load']['batch_size']}, load {load_words(other['load'])})"
        for name, other in found.items()
    )


def records(context: Context) -> list[Mapping[str, Any]]:
    """The rows of `colocated.csv`."""
    return [
        _record(context, row, model)
        for row in context.rows
        for model in colocated.summarize_colocated(row)
    ]


def _record(context: Context, row: SummaryRow, model: ColocatedSummary) -> dict[str, Any]:
    record = {name: getattr(row, name) for name in COLUMNS if hasattr(row, name)}
    record |= {f"model_{k}": model.load.get(k)
               for k in ("batch_size", "concurrency", "request_rate")}  # fmt: skip
    values = {"throughput": model.throughput}
    values |= {f"latency_{p}_ms": model.latency_ms[p] for p in PERCENTILES}
    for name, interval in values.items():
        ends = (None, None, None) if interval is None else (
            interval.value, interval.low, interval.high
        )  # fmt: skip
        record |= dict(zip((name, f"{name}_low", f"{name}_high"), ends, strict=True))
    return record | {
        "model": model.name, "requests": model.requests, "errors": model.errors,
        "holds_constraints": held(context, row, model.name), "flags": ";".join(model.flags),
    }  # fmt: skip
