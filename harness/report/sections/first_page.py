"""Page 1 in words: what to take, under which limit, what it needs, costs and leaves out.

The same lines are set in HTML and PDF and end the terminal's summary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from harness.analysis.best import at_decisive, differs, indifference_of, ranked, usable
from harness.analysis.constraints import satisfies
from harness.analysis.metrics import metric_of
from harness.analysis.summary import SummaryRow
from harness.measure.validity import short
from harness.report.model import decision, labels, manifest_facts, numbers
from harness.report.model.blocks import Cell, Table, figure, listing, number_cell, percentile_name
from harness.report.model.columns import Columns, series_cell
from harness.report.model.context import Context
from harness.report.model.decision import Decision, LastPercent, Rival
from harness.report.model.numbers import both_text, mib_text, significant, value_text
from harness.report.model.section import Sentence, Verdict, bold, compose
from harness.report.sections.parity import wrong_outputs
from harness.results.grouping import firsts
from harness.scenario.metrics import latency_name
from harness.system import untried

BUSY, HALF_BUSY = 85.0, 45.0
"""Percent of GPU utilisation from which a card is full, and below which it may hold as much again.
"""
MOST_LISTED, MOST_TIED = 16, 4
UTILISATION = (
    "utilisation counts time in which any kernel ran, so a busy card may still hold more work"
)
_COSTS = {
    "gpu_memory_mib": "GPU memory",
    "host_memory_mib": "host memory",
    "cpu_cores": "CPU cores",
}


def verdict(context: Context, found: Decision) -> Verdict:
    """The lines of page 1, each under its heading; a heading without lines is left out."""
    sections: dict[str, Iterator[Sentence]] = {
        "TAKE": _take(context, found),
        "LIMIT → CHOICE": _limits(context, found),
        "THIS CARD" if context.has_gpu else "THIS MACHINE": _card(context, found.take),
        "COST": _cost(context, found),
        "BEWARE": _beware(context, found),
    }
    said = ((title, tuple(lines)) for title, lines in sections.items())
    return Verdict(tuple((title, lines) for title, lines in said if lines))


def subject(context: Context) -> str:
    """`resnet50 on 1 × NVIDIA H200 · 2026-11-23 12:20 UTC · 11 configurations, …`."""
    manifest = context.manifest
    where = manifest_facts.measured_on(manifest)
    measured = labels.counted(sum(r.rounds for r in context.rows), "measurement")
    return (
        f"{context.model} on {where} · {manifest_facts.date_text(manifest)} · "
        f"{labels.counted(len(context.series), 'configuration')} at "
        f"{labels.counted(len(context.rows), 'point')} (a batch size under a load), "
        f"{labels.rounds_text(context.rows)} each, {measured}"
    )


def where_text(context: Context, row: SummaryRow) -> str:
    """`batch 64 · 4 callers`."""
    load = (
        labels.counted(row.concurrency, "caller") if row.concurrency is not None
        else labels.load_text(row)
    )  # fmt: skip
    return f"batch {row.request} · {load}"


# ---------------------------------------------------------------------------------------- TAKE


def _take(context: Context, found: Decision) -> Iterator[Sentence]:
    take = found.take
    if take is None:
        if context.rows:
            why, where = ("no point is shown to hold every constraint", "How the choice was made")
            if not ranked(context.rows):
                why, where = "no point could be ranked", "What failed and what was flagged"
            yield compose(bold(f"Nothing can be recommended: {why}."), f" Why: see “{where}”.")
        return
    kind = context.spec(take.backend).get("kind")
    how = "served by Triton" if kind == "triton" else "in process"
    precision = decision.precision_of(context, take)
    name = context.name(take)
    called = name if precision in ("", *name.split("-")) else f"{name}, {precision}"
    first = f"{called}, {how} · {where_text(context, take)}"
    unsure = "" if found.decided else (
        ". It has the best value; that no other is better is not shown"
        f"{': the objective is a trade-off' if context.choice.is_front else ''}."
    )  # fmt: skip
    yield compose(bold(first), unsure)
    yield compose(" · ".join(needs(take, found.percentile)))
    if against := [_against(context, r) for r in found.rivals]:
        yield compose(f"Throughput {'; '.join(against)}.")
    if found.last_percent is not None:
        yield compose(last_percent(context, found.last_percent))
    names = dict.fromkeys(map(context.name, context.choice.tied))
    if found.decided and (others := [n for n in names if n != name]):
        shown = labels.listed(labels.some(others, MOST_TIED))
        tail = context.choice.tail
        why = f"taken for its lower {metric_of(tail).title}; " if tail else ""
        yield compose(
            bold(f"Not shown to be better than {shown}:"), f" {why}more rounds may decide it."
        )


def needs(row: SummaryRow, percentile: str, *, short: bool = False) -> list[str]:
    """Throughput, tail, memory and what to ask for, cores; unless `short` host memory and power
    too: what is known of them; and by which rounds, where the choice was confirmed by more.
    """
    shown = row.confirmed or row
    tail, ask = shown.value(latency_name(percentile)), decision.ask_mib(row)
    known = {
        f"{both_text(shown.throughput)} infer/s": shown.throughput,
        f"{percentile_name(percentile)} {both_text(tail)} ms": tail,
        f"GPU memory {mib_text(row.gpu_memory_mib)} MiB → ask for {ask or 0:,.0f} MiB": ask,
        f"{mib_text(row.plain('cpu_cores'))} CPU cores": row.value("cpu_cores"),
        f"host memory {mib_text(row.host_memory_mib)} MiB": None if short else row.host_memory_mib,
        f"{mib_text(row.plain('gpu_power_w'))} W": None if short else row.value("gpu_power_w"),
        f"by {shown.rounds} rounds after the choice": row.confirmed,
    }
    return [said for said, value in known.items() if value is not None]


def _against(context: Context, rival: Rival) -> str:
    """`1.97× (1.89–2.05) that of eager PyTorch at the same precision (…)`."""
    spec = context.spec(rival.row.backend)
    eager = "eager PyTorch" if spec.get("kind") == "torch" and not spec.get("compile") else ""
    precision = decision.precision_of(context, rival.row)
    same = precision and (" at the same precision" if rival.same_precision else f" in {precision}")
    if satisfies(rival.row, context.bounds) != "yes":
        over = f"{eager or 'the reference'}{same} ({context.name(rival.row)})"
        return f"not compared with {over}: none of its points is shown to hold the constraints"
    place = f"{context.name(rival.row)}, {where_text(context, rival.row)}, the load to take of it"
    ratio = numbers.NOT_AVAILABLE if rival.ratio is None else both_text(rival.ratio, "×")
    return f"{ratio} that of {eager or 'the reference'}{same} ({place})"


def last_percent(context: Context, last: LastPercent | None) -> str:
    """What the best value would cost beyond the recommended point's; empty where nothing."""
    if last is None:
        return ""
    costs = [
        f"{significant(f, 2)}× the {_COSTS.get(m, 'tail latency')}" for m, f in last.costs.items()
    ]
    gain = "a difference that is not shown"
    if last.gain is not None:
        percent = numbers.gain_percent(last.gain, less=context.objective.sign < 0)
        gain = f"{significant(percent.value, 2)}%"
        if last.gain.low is not None and last.gain.low <= 1:
            gain += " (not shown to be more than noise)"
    zone = 100 * indifference_of(context.scenario)
    return (
        f"Not the last percent: {context.name(last.row)} at {where_text(context, last.row)} is "
        f"better by {gain}, for {labels.listed(costs)}; gains below {zone:g}% are not worth that "
        "here (search.indifference)."
    )


# -------------------------------------------------------------------------------- LIMIT → CHOICE


def _limits(context: Context, found: Decision) -> Iterator[Sentence]:
    if len(found.limits) < 2:
        return
    name = percentile_name(found.percentile)
    for limited in found.limits:
        if limited.row is None:
            continue
        limit = "no limit" if limited.limit_ms is None else f"{name} below {limited.limit_ms:g} ms"
        said = " · ".join(needs(limited.row, found.percentile, short=True))
        yield compose(
            bold(f"{limit}: {context.name(limited.row)}, {where_text(context, limited.row)}"),
            f" · {said}",
        )
    tail = latency_name(found.percentile)
    if lacking := [r for r in context.rows if usable(r) and r.value(tail) is None]:
        yield compose(
            f"{labels.counted(len(lacking), 'point')} had too few requests for {name} and can't "
            f"hold such a limit; {_longer(lacking)} lets them be judged."
        )


# ------------------------------------------------------------------------------------- THIS CARD


def _card(context: Context, take: SummaryRow | None) -> Iterator[Sentence]:
    if take is None:
        return
    busy, memory = take.plain("gpu_utilization_percent"), take.gpu_memory_mib
    total, said = decision.gpu_total_mib(context, take), []
    if busy is not None:
        said.append(f"busy {significant(busy, 2)}% of the time")
    if memory is not None and total:
        left = total - memory
        said.append(f"one replica leaves {mib_text(left)} of {mib_text(total)} MiB")
    cores = manifest_facts.number(
        manifest_facts.mapping(context.manifest, "machine", "cpu"), "usable"
    )
    used = take.value("cpu_cores")
    if used is not None and cores:
        whose = "a lane's " if context.manifest.get("lanes") else ""
        of = f"{whose}{cores:g} CPU {'core' if cores == 1 else 'cores'}"
        said.append(f"{significant(max(cores - used.value, 0), 2)} of {of} left")
    if text := "; ".join(said):
        yield compose(f"{text[0].upper()}{text[1:]}.")
    yield compose(_twice(context, take, busy))


def _twice(context: Context, take: SummaryRow, busy: float | None) -> str:
    """What twice the load would need, and which line of a scenario would show it."""
    rate, double = take.throughput, "Twice the load"
    if rate:
        double += f" ({numbers.fixed(2 * rate.value, numbers.decimals(rate))} infer/s)"
    kind, precision = context.spec(take.backend).get("kind"), decision.precision_of(context, take)
    served = f"kind: triton, serve: {kind}, device: cuda, precision: {precision}"
    line = "instances: [1, 2, 4]" if kind == "triton" else f"- {{{served}, instances: [1, 2]}}"
    tried = sorted({
        int(n) for r in firsts(context.rows, context.name)
        if r.backend == take.backend and (n := context.served(r).instances).isdigit()
    })  # fmt: skip
    counts = labels.listed(map(str, tried))
    unmeasured = f"Measured were {counts} instances on one card." if tried[1:] else (
        f"A second replica on the same card was not measured; the backends' line “{line}” would."
    )  # fmt: skip
    if busy is None:
        return f"{double} was not measured: what it needs is not known."
    fits = (
        "needs a second card, as far as busy shares tell" if busy >= BUSY
        else "may fit on this card" if busy <= HALF_BUSY
        else "does not fit on this card, by its busy share"
    )  # fmt: skip
    return f"{double} {fits} ({UTILISATION}). {unmeasured}"


# ------------------------------------------------------------------------------------------ COST


def _cost(context: Context, found: Decision) -> Iterator[Sentence]:
    rows = [r for r in (found.take, *(v.row for v in found.rivals)) if r is not None]
    said = [
        f"{_cost_text(context, row)}" + (f" for {context.name(row)}" if place else "")
        for place, row in enumerate(rows)
        if decision.cost(context, row).seconds
    ]
    if not said:
        return
    price = manifest_facts.number(context.scenario, "price_per_gpu_hour")
    unit = "" if price else " Money: give price_per_gpu_hour."
    yield compose("Per million inferences: ", bold(said[0]),
                  *([f"; {'; '.join(said[1:])}"] if said[1:] else []), f".{unit}")  # fmt: skip


def _cost_text(context: Context, row: SummaryRow) -> str:
    spent = decision.cost(context, row)
    device = "GPU" if context.has_gpu else "machine"
    parts = [f"{significant(spent.seconds or 0)} {device}-seconds"]
    if spent.watt_hours is not None:
        parts.append(f"{significant(spent.watt_hours)} Wh")
    if spent.money is not None:
        parts.append(f"{significant(spent.money, 2)} in your currency")
    return ", ".join(parts)


# ---------------------------------------------------------------------------------------- BEWARE


def _beware(context: Context, found: Decision) -> Iterator[Sentence]:
    if wrong := wrong_outputs(context):
        yield compose(bold(f"Wrong outputs: {labels.listed(wrong)}; never a candidate.", bad=True))
    yield from map(compose, _stands_for(context))
    if (decided := at_decisive(context.rows)) and len(decided) < len(context.rows):
        yield compose(
            f"Decided at {decided[0].sizes}: a size is no choice of whoever deploys. The others "
            "are compared like with like, and have a best point each, below."
        )
    if out := [r for r in context.rows if not usable(r)]:
        yield compose(f"Left out: {labels.counted(len(out), 'point')} ({why_out(out)}).")
    take = found.take
    if take and found.decided and take.backend in context.names.varied and not take.confirmed:
        yield compose(
            "Not confirmed: the recommended point's figures are of the rounds that chose it, so "
            "likely too good; a longer budget, or search.confirm, gives it rounds of its own."
        )
    if take and (unknown := [n for n in ("p95", "p99") if take.value(latency_name(n)) is None]):
        yield compose(
            f"Unknown at the recommended point: {labels.listed(unknown)} (too few requests a "
            f"round; {_longer([take])} tells)."
        )


def _longer(rows: Iterable[SummaryRow]) -> str:
    """Which key of the scenario would give more requests to `rows`."""
    return f"a longer measurement.window{'_max' * any('window_cut' in row.flags for row in rows)}"


def why_out(rows: Iterable[SummaryRow]) -> str:
    """`drifted at 6, failed at 2`: each point under the first reason for which it is no candidate,
    so that the numbers add up.
    """
    found = Counter(
        "failed" if r.failures or not r.rounds else next(map(short, labels.broken(r)), "invalid")
        for r in rows
    )
    return ", ".join(f"{why} at {count}" for why, count in found.most_common())


def _stands_for(context: Context) -> Iterator[str]:
    """What a row does not stand for."""
    specs = [context.spec(b) for b in dict.fromkeys(r.backend for r in context.rows)]
    flavors = {str(row.details.get("flavor")) for row in context.data.loads}
    triton = [s for s in specs if s.get("kind") == "triton"]
    if "tensorrt-rtx" in flavors:
        yield "TensorRT rows are TensorRT-RTX: the data-centre TensorRT may differ."
    gpus = manifest_facts.gpus(context.manifest) if context.has_gpu else ()
    yield from untried.of_run(flavors, specs, gpus)
    if any(s.get("serve") == "torch" for s in triton):
        yield "Triton rows with serve: torch run in its Python backend, not in LibTorch."
    urls = [manifest_facts.text(s, "server", "url", default="") for s in triton]
    if triton and not all(urls):
        yield "Triton is reached over loopback: no network is in its rows."


# ------------------------------------------------------------------------------ the table below it


def backends_table(context: Context, found: Decision) -> Table:
    """A row a series, at its own recommended point."""
    tail, top = latency_name(found.percentile), found.backends[:1]

    def share(row: SummaryRow) -> Cell:
        ratio = top and context.differences.advantage(row, top[0], context.objective)
        text, limits = ("1", "") if row in top or not ratio else (
            "? " * (not differs(ratio)) + significant(ratio.value, 2), numbers.range_text(ratio)
        )  # fmt: skip
        return figure(text, note=limits)

    columns: Columns = {
        "Throughput (infer/s)": lambda r: figure(both_text(r.throughput)),
        f"{percentile_name(found.percentile)} (ms)": lambda r: figure(value_text(r.value(tail))),
        "GPU (MiB)": lambda r: figure(mib_text(r.gpu_memory_mib)),
        "Cores": lambda r: number_cell(r.plain("cpu_cores")),
        "W": lambda r: number_cell(r.plain("gpu_power_w")),
        "× best": share,
    }
    shown = {t: get for t, get in columns.items()
             if any(get(r).text != numbers.NOT_AVAILABLE for r in found.backends)}  # fmt: skip
    return listing(found.backends, {
        "Configuration, each at the load to take": lambda r: series_cell(context, context.name(r)),
        "Batch": lambda r: figure(r.request),
        "Load" if context.open_loop else "Callers": lambda r: figure(labels.load_label(r)),
        **shown,
    }, most=MOST_LISTED)  # fmt: skip
