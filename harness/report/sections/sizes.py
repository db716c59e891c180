"""What sizes of dynamic dimensions make of the choice, and what a mix of them really sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from harness.analysis.best import at_decisive, choose, indifference_of
from harness.analysis.intervals import Interval, log_t_interval
from harness.analysis.summary import SummaryRow
from harness.report.model import blocks, columns, labels
from harness.report.model.context import Context
from harness.report.model.section import Section, Text, titled
from harness.report.sections.points import metric_cell
from harness.results.details import SentPart
from harness.scenario.metrics import METRICS, Metric, latency_name

Best = tuple[SummaryRow, int]
"""The best point at a size, and how many others can't be told apart from it."""
Sent = tuple[SummaryRow, Sequence[SentPart]]
"""A point, and what each of its rounds sent of one part of the mix."""


def section(context: Context) -> Section | None:
    """The best point at each size, and each mix as it was sent; None where no size varies."""
    if not any(row.sizes for row in context.rows):
        return None
    return Section("sizes", "Sizes of the inputs", (
        Text(_intro(context)),
        *titled(
            ("Best point at each size", best_table(context)),
            ("The mix as it was sent", sent_table(context)),
        ),
    ))  # fmt: skip


def _intro(context: Context) -> str:
    """At which size the run is decided, if at one of several."""
    found = list(dict.fromkeys(row.sizes for row in context.rows))
    if len(found) == 1:
        return f"Every point was measured with requests of {found[0]}."
    return (
        f"Points were measured at {labels.counted(len(found), 'size')} ({', '.join(found)}). "
        "Shorter is faster and no better, so that points are compared at the same size only; what "
        f"the report recommends is decided at {at_decisive(context.rows)[0].sizes}."
    )


def best_table(context: Context) -> blocks.Table:
    """A row a size: its recommended point, or else the one with the best value."""
    found: list[Best] = []
    zone = indifference_of(context.scenario)
    for sizes in dict.fromkeys(row.sizes for row in context.rows):
        mine = [row for row in context.rows if row.sizes == sizes]
        choice = choose(mine, context.objective, context.bounds, zone, context.differences)
        if (row := choice.recommended or choice.best) is not None:
            found.append((row, len([r for r in choice.tied if r is not row])))
    names = ["throughput", *map(latency_name, context.shown_percentiles)]
    return blocks.listing(found, {
        "Sizes": lambda f: blocks.word(f[0].sizes),
        "Configuration": lambda f: columns.series_cell(context, context.name(f[0])),
        "Batch": lambda f: blocks.figure(str(f[0].batch_size)),
        context.load_title: lambda f: blocks.figure(labels.load_label(f[0])),
        **{m.heading: partial(_metric, m) for m in map(METRICS.__getitem__, names)},
        "Not told apart from it": lambda f: blocks.figure(str(f[1])),
    })  # fmt: skip


def _metric(metric: Metric, found: Best) -> blocks.Cell:
    return metric_cell(found[0], metric)


def sent_table(context: Context) -> blocks.Table:
    """A row a point and size of its mix: the share that was asked for and the one that was sent."""
    found: list[Sent] = []
    for row in context.rows:
        rounds = [mix for m in row.measurements if (mix := m.details.get("mix"))]
        found += [(row, parts) for parts in zip(*rounds, strict=False)]
    return blocks.listing(found, {
        "Configuration": lambda f: blocks.word(context.name(f[0])),
        "Batch": lambda f: blocks.figure(str(f[0].batch_size)),
        context.load_title: lambda f: blocks.figure(labels.load_label(f[0])),
        "Sizes": lambda f: blocks.word(f[1][0]["sizes"]),
        "Share": lambda f: blocks.figure(f"{100 * f[1][0]['share']:.3g}%"),
        "Sent": _sent,
        "Requests": lambda f: blocks.figure(f"{sum(p['requests'] for p in f[1]):,}"),
        "Errors": lambda f: blocks.figure(f"{sum(p['errors'] for p in f[1]):,}"),
        "p50 latency (ms)": lambda f: blocks.interval_cell(_latency(f, "p50")),
        "p99 latency (ms)": lambda f: blocks.interval_cell(_latency(f, "p99")),
    })  # fmt: skip


def _sent(found: Sent) -> blocks.Cell:
    """The share over all rounds, with the smallest and the largest of a round."""
    shares = [100 * part["sent"] for part in found[1]]
    weights = [max(1, part["requests"]) for part in found[1]]
    mean = sum(s * w for s, w in zip(shares, weights, strict=True)) / sum(weights)
    return blocks.figure(f"{mean:.3g}%", note=f"{min(shares):.3g}–{max(shares):.3g}")


def _latency(found: Sent, percentile: str) -> Interval | None:
    values = [part["latency_ms"].get(percentile) for part in found[1]]
    known = [value for value in values if value is not None]
    return log_t_interval(known) if len(known) == len(values) else None
