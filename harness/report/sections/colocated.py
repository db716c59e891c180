"""Several models on one server: what those beside did at each point, what they cost the first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from harness.analysis import colocated, constraints, metrics, objective
from harness.analysis.colocated import ColocatedSummary
from harness.analysis.summary import SummaryRow
from harness.measure.validity import INVALIDATES, short
from harness.report.model import blocks, columns, labels, numbers
from harness.report.model.context import Context
from harness.report.model.manifest_facts import Json, text
from harness.report.model.served import served
from harness.report.sections.points import metric_cell
from harness.results.rows import PERCENTILES, LoadedRow
from harness.scenario.metrics import METRICS

At = tuple[SummaryRow, ColocatedSummary]
"""A co-located model at a point."""
SHARED_NOTE = (
    "Memory, CPU and GPU readings are of the whole server: of all its models together. Throughput "
    "and latency are each model's own, over the same windows."
)


def colocated_table(context: Context, rows: Sequence[SummaryRow]) -> blocks.Table:
    """A row a point and co-located model."""
    found = [(row, model) for row in rows for model in colocated.summarize_colocated(row)]
    shown = [
        p for p in PERCENTILES
        if p in ("p50", "p99") or any(m.latency_ms[p] is not None for _, m in found)
    ]  # fmt: skip
    constraints: dict[str, Callable[[At], blocks.Cell]] = {
        "Its constraints": lambda x: columns.holds_cell(holds_own(context, x[0], x[1].name))
    }
    bounded = any(_bounds(context, model.name) for _, model in found)
    return blocks.listing(found, {
        "Batch": lambda x: blocks.figure(x[0].request),
        "Load": lambda x: blocks.figure(labels.load_label(x[0])),
        "Co-located model": lambda x: blocks.word(x[1].name),
        "Its batch": lambda x: blocks.figure(str(x[1].load["batch_size"])),
        "Its load": lambda x: blocks.figure(load_words(x[1].load)),
        "Throughput (infer/s)": lambda x: blocks.interval_cell(x[1].throughput),
        **{f"{numbers.PERCENTILE_NAMES[p]} (ms)": partial(_own_percentile, p) for p in shown},
        "Errors": lambda x: columns.errors_cell(x[1].errors, x[1].requests),
        **(constraints if bounded else {}),
        "Status": lambda x: _status(x[1]),
    }, [*served_colocated(context, rows[0]), SHARED_NOTE])  # fmt: skip


def _own_percentile(percentile: str, at: At) -> blocks.Cell:
    return blocks.percentile_cell(percentile, at[1].latency_ms.get(percentile))


def together_table(context: Context) -> blocks.Table:
    """Points with co-located models against the same ones alone."""
    pairs = [
        p for p in colocated.pairs(context.rows, context.scenario)
        if context.name(p.together) in context.shown and p.together.rounds and p.alone.rounds
    ]  # fmt: skip
    note = (
        "Alone: the same configuration without other models on the server. Throughput kept is "
        "together ÷ alone: 1 would mean that the models do not disturb each other."
    )
    return blocks.listing(pairs, {
        "Configuration": lambda p: columns.series_cell(context, context.name(p.together)),
        "Beside it": lambda p: blocks.word(", ".join(colocated.names(p.together))),
        "Batch": lambda p: blocks.figure(p.together.request),
        "Load": lambda p: blocks.figure(labels.load_label(p.together)),
        "Throughput (infer/s) alone": lambda p: blocks.interval_cell(p.alone.throughput),
        "Throughput (infer/s) together": lambda p: blocks.interval_cell(p.together.throughput),
        "p50 (ms) alone": lambda p: metric_cell(p.alone, METRICS["latency_p50_ms"]),
        "p50 (ms) together": lambda p: metric_cell(p.together, METRICS["latency_p50_ms"]),
        "p99 (ms) alone": lambda p: metric_cell(p.alone, METRICS["latency_p99_ms"]),
        "p99 (ms) together": lambda p: metric_cell(p.together, METRICS["latency_p99_ms"]),
        "Throughput kept": lambda p: blocks.interval_cell(
            context.differences.advantage(p.together, p.alone, objective.THROUGHPUT)
        ),
    }, [note])  # fmt: skip


def load_words(load: Mapping[str, float | None]) -> str:
    """`4` callers, or `20/s`."""
    callers = load.get("concurrency")
    return f"{load['request_rate']:g}/s" if callers is None else str(callers)


def _bounds(context: Context, model: str) -> constraints.Bounds:
    """The bounds of a co-located model that the scenario holds."""
    named = metrics.metric_name(model, "")
    present = metrics.metric_name(model, metrics.PRESENT)
    return {k: b for k, b in context.bounds.items() if k.startswith(named) and k != present}


def holds_own(context: Context, row: SummaryRow, model: str) -> constraints.Holds:
    """Whether a co-located model holds its own constraints at a point."""
    return constraints.satisfies(row, _bounds(context, model))


def _status(model: ColocatedSummary) -> blocks.Cell:
    note = "; ".join(labels.flag_text(f) for f in model.flags)
    bad = [f for f in model.flags if f in INVALIDATES]
    shown = bad or [f for f in model.flags if f != "few_requests"]
    if not shown:
        return blocks.status("ok", tone="good", note=note)
    said = ", ".join(short(f) for f in shown)
    return blocks.status(said, tone="bad" if bad else "", note=note)


def _loaded(context: Context, row: SummaryRow) -> Mapping[str, Json]:
    """What was noted when the co-located models were loaded, by name; empty where it was not."""
    loads: list[LoadedRow] = context.data.loads
    mine = [x for x in loads if (x.backend, x.config) == (row.backend, row.config)]
    return next((x.details["colocated"] for x in mine if x.details.get("colocated")), {})


def served_colocated(context: Context, row: SummaryRow) -> list[str]:
    """A sentence a co-located model: how it was served."""
    return [
        f"{name}: {served({'kind': 'triton'}, config, None).sentence()}."
        for name, config in configs_colocated(context, row)
    ]


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
