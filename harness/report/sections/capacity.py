"""The capacity section: the highest rate that holds the target, and every rate that was tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.analysis.capacity import KNEE, CapacitySummary, summarize_capacity
from harness.report.model.blocks import (
    Bound,
    Chart,
    Series,
    Table,
    figure,
    interval_cell,
    table,
    word,
)
from harness.report.model.context import COLORS, Context
from harness.report.model.labels import listed
from harness.report.model.numbers import NOT_AVAILABLE, both_text, significant
from harness.results.rows import CapacityRow

OUTCOMES = {
    "holds": "holds", "fails": "fails", "client": "generator is the limit",
    "growing": "answers fall behind",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class CapacityView:
    """The section's parts."""

    intro: str
    table: Table
    charts: tuple[Chart, ...]
    rates: Table


def capacities(context: Context) -> list[CapacitySummary]:
    """The run's capacities, best goodput first; those without one last."""
    found = summarize_capacity(context.data.rows(CapacityRow))
    return sorted(found, key=lambda c: -(c.goodput.value if c.goodput else 0.0))


def capacity_view(context: Context) -> CapacityView | None:
    """The section; None when no capacity was searched for."""
    found = capacities(context)
    if not found:
        return None
    return CapacityView(
        _intro(found), _table(context, found), (_chart(context, found),), _rates(context, found)
    )


def target_text(found: CapacitySummary) -> str:
    """`p99 ≤ 50 ms`."""
    return f"{found.percentile} ≤ {found.target_ms:g} ms"


def name(context: Context, found: CapacitySummary) -> str:
    """Backend, and config where it has several."""
    return context.series_of(found.backend, found.config)


def limit_text(found: CapacitySummary) -> str:
    """What kept the rate from being higher, in words."""
    if found.rate is None:
        return "; ".join(found.reasons) or "no rate held in every round"
    words = {
        "target": "the latency target", "growing": "answers falling behind",
        "client": "the load generator: the server may do more",
        "max_rate": "max_rate: the server may do more",
    }  # fmt: skip
    return words.get(found.limit, found.limit)


def line(label: str, found: CapacitySummary) -> str:
    """The result in one line, for the terminal; `label` names the configuration."""
    where = f"capacity of {label}, batch {found.batch_size}, {target_text(found)}"
    if found.rate is None:
        return f"{where}: none; {limit_text(found)}"
    said = (
        f"{where}: {both_text(found.rate)} requests/s, goodput {both_text(found.goodput)} infer/s"
    )
    knee = f", knee at {both_text(found.knee)} requests/s" if found.knee else ""
    return said + knee + ("" if found.server_limited else f"; limited by {limit_text(found)}")


def _intro(found: Sequence[CapacitySummary]) -> str:
    targets = listed(dict.fromkeys(target_text(c) for c in found))
    steps = listed(dict.fromkeys(f"{100 * c.precision:g}%" for c in found))
    return (
        f"The highest open-loop rate at which the target holds ({targets}): of all requests that "
        "were due in the window, failed, shed and unanswered ones included, that share was "
        f"answered in time. Rates are tried in steps of {steps}, so a figure is that sharp at "
        "best. Goodput counts what was answered within the target. The knee is the lowest tried "
        f"rate at which the median response is {KNEE:g} times that of the lowest rate: beyond it "
        "requests mostly wait. The rates take no part in the ranking; each has its fold below."
    )


def _table(context: Context, found: Sequence[CapacitySummary]) -> Table:
    headers = [
        "Configuration", "Batch", "Target", "Capacity (requests/s)", "Goodput (infer/sec)",
        "Knee (requests/s)", "Did not hold (requests/s)", "Rounds", "Limited by",
    ]  # fmt: skip
    body = [
        [
            word(name(context, c), swatch=context.colors.get(name(context, c), "")),
            figure(str(c.batch_size)), word(target_text(c)), interval_cell(c.rate),
            interval_cell(c.goodput), interval_cell(c.knee),
            figure(NOT_AVAILABLE if c.high is None else f"{c.high:g}"),
            figure(str(c.rounds)),
            word(limit_text(c), tone="" if c.server_limited and c.rate else "bad"),
        ]
        for c in found
    ]  # fmt: skip
    return table(headers, body)


def _chart(context: Context, found: Sequence[CapacitySummary]) -> Chart:
    """Share within the target over the rate, a line a searched point."""
    sizes = sorted({c.batch_size for c in found})
    series = tuple(
        Series(
            name(context, c), context.colors.get(name(context, c), COLORS[0]),
            tuple(r.rate for r in c.rates),
            tuple(100 * r.within for r in c.rates),
            labels=tuple(
                f"{name(context, c)}, batch {c.batch_size}, {r.rate:g} requests/s: "
                f"{100 * r.within:.4g}% within {c.target_ms:g} ms"
                for r in c.rates
            ),
            marker=sizes.index(c.batch_size),
        )
        for c in found
    )  # fmt: skip
    shares = sorted({float(c.percentile.removeprefix("p")) for c in found})
    rates = [r.rate for c in found for r in c.rates]
    return Chart(
        "capacity", "Requests answered within the target", "Requests a second that were due",
        "Answered within the target (%)", series, _rates(context, found),
        log_x=bool(rates) and max(rates) / min(rates) >= 25,
        bounds=tuple(Bound("y", share, f"{share:g}%") for share in shares),
        markers=tuple(f"batch {s}" for s in sizes) if len(sizes) > 1 else (),
    )  # fmt: skip


def _rates(context: Context, found: Sequence[CapacitySummary]) -> Table:
    headers = ["Configuration", "Batch", "Requests/s", "Rounds", "Within the target (%)",
               "Median response (ms)", "Outcome"]  # fmt: skip
    body = [
        [
            word(name(context, c)), figure(str(c.batch_size)), figure(f"{r.rate:g}"),
            figure(str(r.rounds)), figure(f"{100 * r.within:.4g}"),
            figure(NOT_AVAILABLE if r.p50_ms is None else significant(r.p50_ms)),
            word(", ".join(
                OUTCOMES.get(o, o) + (f" ({n} of {r.rounds})" if n < r.rounds else "")
                for o, n in r.outcomes.items()
            )),
        ]
        for c in found
        for r in c.rates
    ]  # fmt: skip
    return table(headers, body)
