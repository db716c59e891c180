"""The tables of a sharing run, for terminal and report, and its answers in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from harness.analysis.intervals import Interval
from harness.analysis.summary import SummaryRow
from harness.measure.validity import short
from harness.report.model import blocks as b
from harness.report.model.labels import why_invalid
from harness.report.model.numbers import both_text
from harness.tenants.design import TableCell, load_text
from harness.tenants.results import Compared, FitResult, Results
from harness.tenants.settings import Mode

SAME = Interval(1.0)
"""What is compared with itself."""
HOTTEST = 3.0
"""The slow-down from which on the heat map does not get hotter."""


def percent_text(share: Interval | None) -> str:
    """`92.1 % (90.3–93.9)`."""
    return "n/a" if share is None else both_text(scale(share, 100), " %")


def scale(interval: Interval, by: float) -> Interval:
    """It in a unit that is so many times smaller."""
    low, high = (None if end is None else end * by for end in (interval.low, interval.high))
    return Interval(interval.value * by, low, high, interval.rounds, interval.at_least)


def _metric(row: SummaryRow | None, name: str) -> b.Cell:
    return b.interval_cell(row.value(name) if row is not None and row.measurements else None)


def _percent(share: Interval | None) -> b.Cell:
    return b.interval_cell(None if share is None else scale(share, 100))


def _state(row: SummaryRow | None) -> b.Cell:
    """Why a row is not to be believed, or what to know of it."""
    if row is None:
        return b.status("not measured", tone="muted")
    if row.failures:
        note = row.failures[0].message
        return b.status(f"failed: {note[:60]}", tone="bad", note=note)
    if not row.valid:
        return b.status(f"invalid ({why_invalid(row)})", tone="bad")
    said = ", ".join(map(short, row.flags))
    return b.status(said or "ok", tone="muted" if said else "good")


_Row = tuple[TableCell, Compared]


def sharing_table(found: Results) -> b.Table:
    """Replicas beside one tenant with the same load of the device."""
    columns: dict[str, Callable[[_Row], b.Cell]] = {
        "load of the device": lambda r: b.word(r[0].load),
        "replicas": lambda r: b.figure(str(r[0].count)),
        "mode": lambda r: b.word(r[0].cell.mode.words),
        "inferences/s": lambda r: _metric(r[1].row, "throughput"),
        "kept of dedicated, %": lambda r: _percent(r[1].throughput_kept),
        "p99, ms": lambda r: _metric(r[1].row, "latency_p99_ms"),
        "p99 / dedicated": lambda r: b.interval_cell(r[1].p99_ratio),
        "mean latency / dedicated": lambda r: b.interval_cell(r[1].mean_ratio),
        "J/inference": lambda r: _metric(r[1].row, "joules_per_inference"),
        "energy / dedicated": lambda r: b.interval_cell(r[1].joules_ratio),
        "GPU memory, MiB": lambda r: _metric(r[1].row, "gpu_memory_mib"),
        "host memory, MiB": lambda r: _metric(r[1].row, "host_memory_mib"),
        "state": lambda r: _state(r[1].row),
    }
    seen: dict[str, _Row] = {}
    for row, _ in found.table:  # one tenant with that load, first
        one = TableCell(1, row.load, row.dedicated, row.dedicated)
        seen.setdefault(row.load, (one, Compared(found.dedicated(row), SAME, SAME, SAME, None)))
    loads = list(seen)
    rows = [*seen.values(), *found.table]
    rows.sort(key=lambda r: (loads.index(r[0].load), r[0].count))
    return b.listing(rows, columns)


def tenant_table(found: Results) -> b.Table:
    """Each tenant beside all others, against itself alone."""
    rows = [
        (mode, name, compared, found.rows.get(found.design.alone_in(mode, name).id))
        for mode in found.modes for name, compared in found.tenants(mode)
    ]  # fmt: skip
    columns: dict[str, Callable[[tuple[Mode, str, Compared, SummaryRow | None]], b.Cell]] = {
        "tenant": lambda r: b.word(r[1]),
        "load": lambda r: b.word(load_text(found.sharing.tenant(r[1]).load)),
        "mode": lambda r: b.word(r[0].words),
        "alone, inferences/s": lambda r: _metric(r[3], "throughput"),
        "together": lambda r: _metric(r[2].row, "throughput"),
        "kept, %": lambda r: _percent(r[2].throughput_kept),
        "p99 alone, ms": lambda r: _metric(r[3], "latency_p99_ms"),
        "p99 together, ms": lambda r: _metric(r[2].row, "latency_p99_ms"),
        "p99 / alone": lambda r: b.interval_cell(r[2].p99_ratio),
        "J/inference": lambda r: _metric(r[2].row, "joules_per_inference"),
        "state": lambda r: _state(r[2].row),
    }
    return b.listing(rows, columns)


def matrix(found: Results, mode: Mode) -> b.Table | None:
    """How many times longer the row's requests take beside the column; None without pairs."""
    names = [t.name for t in found.sharing.tenants]
    if not found.design.pairs:
        return None
    rows = [
        [b.word(row), *(_hot(found, mode, row, column) for column in names)]
        for row in names
    ]  # fmt: skip
    return b.table(["slow-down of ↓ beside →", *names], rows)


def _hot(found: Results, mode: Mode, row: str, column: str) -> b.Cell:
    """A slow-down; without colour where it can't be believed."""
    slow, invalid = found.slowed(mode, row, column), found.unbelievable(mode, row, column)
    cell = b.interval_cell(slow)
    if slow is not None and invalid:
        why = "; ".join(f"{r.point}: {why_invalid(r)}" for r in invalid)
        return replace(cell, text=f"invalid: {cell.text}", note=why, tone="bad", number=True)
    return replace(cell, number=True, heat=0.0 if slow is None else heat(slow.value))


def heat(slow: float) -> float:
    """Of a slow-down, from 0 to 1."""
    return min(1.0, max(0.0, (slow - 1) / (HOTTEST - 1)))


def fit_table(found: Results) -> b.Table:
    """Replicas against the target."""
    rows = [(mode, fit) for mode in found.modes for fit in found.fits(mode)]
    tones: dict[str, b.Tone] = {"holds": "good", "fails": "bad"}
    columns: dict[str, Callable[[tuple[Mode, FitResult]], b.Cell]] = {
        "mode": lambda r: b.word(r[0].words),
        "replicas": lambda r: b.figure(str(r[1].fit.count)),
        "p99 of the slowest, ms": lambda r: b.interval_cell(r[1].worst),
        "all inferences/s": lambda r: _metric(found.rows.get(r[1].fit.cell.id), "throughput"),
        "target": lambda r: b.status(r[1].verdict, tone=tones.get(r[1].verdict, "muted")),
        "because": lambda r: b.word(r[1].why),
    }
    return b.listing(rows, columns)


# ------------------------------------------------------------------------------------ in words


def answers(found: Results) -> Iterator[str]:
    """What the run says, a sentence each."""
    if not found.data.complete:
        yield "The run ended before its end: what is missing was not measured."
    yield from _fit_answers(found)
    yield from _table_answers(found)
    yield from _matrix_answers(found)


def _fit_answers(found: Results) -> Iterator[str]:
    target = found.sharing.target
    if target is None:
        return
    tenant = found.sharing.tenant(target.tenant)
    what = f"p99 ≤ {target.latency_p99_ms:g} ms, each with {load_text(tenant.load)}"
    few = {0: "no replica of {} is shown to hold", 1: "1 replica of {} holds"}
    for mode in found.modes:
        most, fits = found.holds(mode), found.fits(mode)
        after = next((f for f in fits if f.fit.count == most + 1), None)
        more = f"; {after.fit.count}: {after.verdict} ({after.why})" if after else (
            "; more were not tried")  # fmt: skip
        count = few.get(most, f"{most} replicas of {{}} hold").format(tenant.name)
        yield f"{mode.words}: {count} {what}{more}."


def _table_answers(found: Results) -> Iterator[str]:
    """Of each count the largest load, mode beside mode."""
    if found.sharing.replicas is None:
        return
    last = found.table[-1][0].load if found.table else ""
    for count in found.sharing.replicas.counts:
        kept = [
            (row.cell.mode.words, compared.throughput_kept)
            for row, compared in found.table if (row.count, row.load) == (count, last)
        ]  # fmt: skip
        known = [f"{mode} {percent_text(share)}" for mode, share in kept if share is not None]
        if known:
            yield (f"{count} replicas keep of one tenant's throughput with the same {last}: "
                   f"{'; '.join(known)}.")  # fmt: skip


def _matrix_answers(found: Results) -> Iterator[str]:
    names = [t.name for t in found.sharing.tenants]
    for mode in found.modes if found.design.pairs else ():
        slow = [
            (interval, row, column) for row in names for column in names
            if (interval := found.slowed(mode, row, column)) is not None
            and not found.unbelievable(mode, row, column)
        ]  # fmt: skip
        shown = [each for each in slow if each[0].low is not None and each[0].low > 1]
        if slow:
            worst, row, column = max(shown or slow, key=lambda s: s[0].value)
            times = both_text(worst, " times as long")
            yield f"{mode.words}: " + (
                f"most slowed down is {row} beside {column}: its requests take {times}." if shown
                else f"no tenant is shown to be slowed down; the largest value is {row} beside "
                f"{column}: {times}."
            )  # fmt: skip
