"""The capacity section: the highest rate that holds the target, and every rate that was tried."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis.capacity import KNEE, CapacitySummary, RateSummary, summarize_capacity
from harness.report.charts.lines import wide
from harness.report.model import blocks, columns, labels, numbers
from harness.report.model import section as parts
from harness.report.model.context import COLORS, Context
from harness.report.model.manifest_facts import date_text, measured_on
from harness.report.sections.parity import warned
from harness.results.grouping import grouped

OUTCOMES = {
    "holds": "holds", "fails": "fails", "client": "generator is the limit",
    "growing": "answers fall behind",
}  # fmt: skip


def capacities(context: Context) -> list[CapacitySummary]:
    """The run's capacities, best goodput first; those without one last."""
    found = summarize_capacity(context.data.capacities, context.data.measurements)
    return sorted(found, key=lambda c: -(c.goodput.value if c.goodput else 0.0))


def section(context: Context) -> parts.Section | None:
    """The section; None when no capacity was searched for."""
    found = capacities(context)
    if not found:
        return None
    return parts.Section("capacity", "Capacity", (
        parts.Text(_intro(found), "prose"), parts.TableBlock(_table(context, found)),
        parts.Charts((_chart(context, found),)),
        parts.TableBlock(rates_table(context, found), "Every rate that was tried", only="print"),
    ))  # fmt: skip


def first_page(context: Context, name: str, title: str, banners: Sequence[str]) -> parts.Section:
    """Page 1 of a run that searched for capacities only: which configuration holds the most."""
    found = capacities(context)
    manifest, tried = context.manifest, sum(len(c.rates) for c in found)
    targets = labels.listed(dict.fromkeys(target_text(c) for c in found)) or "the target"
    lead = (
        f"{context.model} on {measured_on(manifest)} · {date_text(manifest)} · "
        f"highest rate that holds {targets} · "
        f"{labels.counted(len(found), 'search', 'searches')}, {labels.counted(tried, 'rate')} tried"
    )
    known = (
        parts.Verdict((("TAKE", (warned(context, answer(context)),)),)),
        parts.TableBlock(_table(context, found)),
    )
    words = (
        "Words. Capacity: the highest rate of requests at which the target holds; goodput: what "
        "was answered within the target; knee: from that rate on requests mostly wait; p95 ≤ 20 "
        "ms: 95 of 100 requests were answered within 20 ms; (a–b): the range that holds the true "
        "value with 95% confidence."
    )
    return parts.Section("summary", "Summary", (
        parts.Masthead(name, title, lead), *(parts.Text(b, "banner") for b in banners),
        *(known if found else ()), parts.Text(words, "note"),
    ))  # fmt: skip


def headline(context: Context) -> str:
    """`fake holds 80 requests/s at p99 ≤ 50 ms`: what page 1 says first, without intervals."""
    first = next(iter(capacities(context)), None)
    if first is None or first.rate is None:
        return "no rate holds the target"
    rate = numbers.value_text(first.rate)
    return f"{name(context, first)} holds {rate} requests/s at {target_text(first)}"


def target_text(found: CapacitySummary) -> str:
    """`p99 ≤ 50 ms`."""
    return f"{found.percentile} ≤ {found.target_ms:g} ms"


def name(context: Context, found: CapacitySummary) -> str:
    """Backend, and config where it has several."""
    return context.names.of(found.backend, found.config)


def limit_text(found: CapacitySummary) -> str:
    """What kept the rate from being higher, in words."""
    if found.rate is None:
        return "; ".join(found.reasons) or "no rate held in every round"
    words = {
        "target": "the latency target", "growing": "answers falling behind",
        "client": "the load generator: with client_processes or free cores the server may do more",
        "max_rate": "max_rate: the server may do more; a higher one would tell",
    }  # fmt: skip
    return words.get(found.limit, found.limit)


def line(label: str, found: CapacitySummary) -> str:
    """The result in one line, for the terminal; `label` names the configuration."""
    where = f"capacity of {label}, batch {found.request}, {target_text(found)}"
    if found.rate is None:
        return f"{where}: none; {limit_text(found)}"
    rate, goodput, knee = map(numbers.both_text, (found.rate, found.goodput, found.knee))
    said = f"{where}: {rate} requests/s, goodput {goodput} infer/s"
    knee = f", knee at {knee} requests/s" if found.knee else ""
    return said + knee + ("" if found.server_limited else f"; limited by {limit_text(found)}")


def answer(context: Context) -> parts.Sentence:
    """The answer of a run that searched for capacities only: which configuration holds the most.

    Only searches for the same target are compared, and only by intervals that do not overlap.
    """
    said: list[str] = []
    for target, found in grouped(capacities(context), target_text).items():
        first, rest = found[0], found[1:]
        if first.rate is None:
            said.append(f"No rate holds {target}: {labels.listed(map(limit_text, found))}.")
            continue
        close = _close(first, rest)
        most = " the most" if rest and not close else ""
        rate, goodput = map(numbers.both_text, (first.rate, first.goodput))
        said.append(f"{_named(context, first)} holds{most}: {rate} requests/s at {target}, "
                    f"goodput {goodput} infer/s.")  # fmt: skip
        if not first.server_limited:
            said.append(f"It is limited by {limit_text(first)}.")
        names = labels.listed(_named(context, c) for c in close)
        said += [f"It can't be told apart from {names} by their intervals."] if close else []
        if others := [f"{_named(context, c)} {numbers.both_text(c.goodput)}" for c in rest]:
            said.append(f"Goodput of the others: {labels.listed(others)}.")
    return parts.compose(parts.bold(said[0]), "".join(f" {x}" for x in said[1:]))


def _named(context: Context, found: CapacitySummary) -> str:
    return f"{name(context, found)} (batch {found.request})"


def _close(first: CapacitySummary, rest: Sequence[CapacitySummary]) -> list[CapacitySummary]:
    """Those whose goodput is not shown to be less: intervals overlap, or there is none."""
    low = first.goodput.low if first.goodput else None
    highs = [(c, c.goodput.high) for c in rest if c.goodput]
    return [c for c, high in highs if low is None or high is None or high >= low]


def _intro(found: Sequence[CapacitySummary]) -> str:
    targets = labels.listed(dict.fromkeys(target_text(c) for c in found))
    steps = labels.listed(dict.fromkeys(f"{100 * c.precision:g}%" for c in found))
    return (
        f"The rate at which the target just holds ({targets}): of all requests that were due, "
        "failed, shed and unanswered ones included, that share was answered in time. It is read "
        "off all rates that were tried in all rounds, else it is the highest that held. They are "
        f"tried in steps of {steps}, so a figure is that sharp at best. Goodput counts what was "
        "answered within the target. The knee is the lowest tried rate at which the median "
        f"response is {KNEE:g} times that of the lowest rate: beyond it requests mostly wait. The "
        "rates take no part in the ranking; each has its fold below."
    )


def _table(context: Context, found: Sequence[CapacitySummary]) -> blocks.Table:
    return blocks.listing(found, {
        "Configuration": lambda c: columns.series_cell(context, name(context, c)),
        "Batch": lambda c: blocks.figure(c.request),
        "Target": lambda c: blocks.word(target_text(c)),
        "Capacity (requests/s)": lambda c: blocks.interval_cell(c.rate),
        "Goodput (infer/s)": lambda c: blocks.interval_cell(c.goodput),
        "Knee (requests/s)": lambda c: blocks.interval_cell(c.knee),
        "Did not hold (requests/s)": lambda c: blocks.number_cell(c.high),
        "Rounds": lambda c: blocks.figure(
            labels.disturbed_text(c.every, c.rounds_disturbed) or str(c.rounds)
        ),
        "Limited by": lambda c: blocks.word(
            limit_text(c), tone="" if c.server_limited and c.rate else "bad"
        ),
    })  # fmt: skip


def _chart(context: Context, found: Sequence[CapacitySummary]) -> blocks.Chart:
    """Share within the target over the rate, a line a searched point."""
    sizes = sorted({c.request for c in found}, key=lambda text: (len(text), text))
    series = tuple(
        blocks.trace(
            name(context, c), context.colors.get(name(context, c), COLORS[0]),
            (
                (r.rate, 100 * r.within,
                 f"{name(context, c)}, batch {c.request}, {r.rate:g} requests/s: "
                 f"{100 * r.within:.4g}% within {c.target_ms:g} ms")
                for r in c.rates
            ),
            marker=sizes.index(c.request) if len(sizes) > 1 else place, dash=place,
        )
        for place, c in enumerate(found)
    )  # fmt: skip
    shares = sorted({float(c.percentile.removeprefix("p")) for c in found})
    return blocks.Chart(
        "capacity", "Requests answered within the target", "Requests a second that were due",
        "Within the target (%)", series, rates_table(context, found),
        log_x=wide([r.rate for c in found for r in c.rates]),
        bounds=tuple(blocks.ReferenceLine("y", share, f"{share:g}%") for share in shares),
        markers=tuple(f"batch {s}" for s in sizes) if len(sizes) > 1 else (),
    )  # fmt: skip


def rates_table(context: Context, found: Sequence[CapacitySummary]) -> blocks.Table:
    """Every rate that was tried, and how it went."""
    return blocks.listing([(c, r) for c in found for r in c.rates], {
        "Configuration": lambda x: blocks.word(name(context, x[0])),
        "Batch": lambda x: blocks.figure(x[0].request),
        "Requests/s": lambda x: blocks.figure(f"{x[1].rate:,.10g}"),
        "Rounds": lambda x: blocks.figure(str(x[1].rounds)),
        "Within the target (%)": lambda x: blocks.figure(f"{100 * x[1].within:.4g}"),
        "Median response (ms)": lambda x: blocks.number_cell(x[1].p50_ms),
        "Outcome": lambda x: blocks.word(outcomes_text(x[1])),
    })  # fmt: skip


def outcomes_text(rate: RateSummary) -> str:
    """`holds`, or of several outcomes how often each."""
    return ", ".join(
        OUTCOMES.get(o, o) + (f" ({n} of {rate.rounds})" if n < rate.rounds else "")
        for o, n in rate.outcomes.items()
    )
