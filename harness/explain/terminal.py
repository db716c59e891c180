"""One point in the terminal: figures by round, timelines, the distribution, flags in words.

What it says of figures and flags is that of `sections/point_detail.py`.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from harness.analysis.capacity import CapacitySummary, summarize_capacity
from harness.analysis.point_detail import (
    Explanation,
    LatencyTimeline,
    RoundDetail,
    explain,
    histogram,
)
from harness.analysis.summary import summarize
from harness.errors import UsageError, did_you_mean, words_of
from harness.gap.bound import bound_of
from harness.measure.validity import INVALIDATES, short
from harness.report.model.labels import counted, flag_text, place_text, why_invalid
from harness.report.model.numbers import both_text, significant, spread_text
from harness.report.sections.capacity import OUTCOMES, line
from harness.report.sections.point_detail import conditions, measured, ms, round_name, seen
from harness.report.sections.points import status_cell
from harness.results.store import RunData
from harness.system.text import harness_command

BLOCKS = "▁▂▃▄▅▆▇█"
EIGHTHS = " ▏▎▍▌▋▊▉█"
COLUMNS = 60
ROWS = 12


def points_of(data: RunData) -> list[str]:
    """The points of a run that something can be said about, each once."""
    rows = summarize(data.measurements, data.failures)
    return [*(r.point for r in rows), *dict.fromkeys(c.point for c in data.capacities)]


def about(data: RunData, point: str) -> Group:
    """Everything about one point of a run. Raises UsageError that names the nearest point."""
    searched = {c.point: c for c in summarize_capacity(data.capacities, data.measurements)}
    if point in searched:
        return render_capacity(searched[point])
    return render(explained(data, point))


def explained(data: RunData, point: str) -> Explanation:
    """A point that was measured. Raises UsageError that names the nearest point."""
    rows = {row.point: row for row in summarize(data.measurements, data.failures)}
    if point not in rows:
        hint = did_you_mean(*difflib.get_close_matches(point, rows, n=1, cutoff=0.5))
        raise UsageError(
            f"{data.path} has no point '{point}'{hint}",
            fix=f"{harness_command('explain', data.path)} lists its points",
        )
    return explain(rows[point], data.path)


def render(found: Explanation) -> Group:
    """Everything about a point, for a terminal of 80 columns or more."""
    figures: list[RenderableType] = [_Figures(found)] if found.rounds else []
    if (bound := bound_of(found.summary)) is not None:
        figures.append(Text(f"\n{bound.words}"))
    return Group(
        _title(found), *figures, *_timelines(found.rounds), *_distribution(found.rounds),
        *_flags(found), *_failures(found), *_files(found),
    )  # fmt: skip


def _columns(first: str | None, *numbers: str) -> Table:
    """A table without lines, its numbers flush right; `first` names a column of words."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    if first is not None:
        table.add_column(first)
    for title in numbers:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def render_capacity(found: CapacitySummary) -> Group:
    """A searched point: the result, and every rate that was tried."""
    table = _columns(None, "requests/s", "rounds", "in time", "p50 ms")
    table.add_column("outcome")
    for r in found.rates:
        said = ", ".join(f"{OUTCOMES.get(o, o)} ×{n}" for o, n in r.outcomes.items())
        style = "green" if set(r.outcomes) == {"holds"} else ""
        table.add_row(f"{r.rate:g}", str(r.rounds), f"{100 * r.within:.4g}%", ms(r.p50_ms),
                      Text(said, style=style))  # fmt: skip
    reasons = [Text(text, style="dim") for text in found.reasons]
    name = "/".join(found.point.split("/")[:-2])
    return Group(Text(line(name, found), style="bold"), *reasons, "", table)


def _title(found: Explanation) -> Text:
    row = found.summary
    status = status_cell(row)
    style = {"bad": "bold red", "good": "bold green"}.get(status.tone, "bold yellow")
    kind = "open loop" if found.open_loop else "closed loop"
    about = (
        f"\n{kind}, {place_text(row)} · {counted(row.rounds, 'round')} · "
        f"{counted(row.requests, 'request')}, {row.errors:,} failed"
    )
    return Text.assemble((row.point, "bold"), "  ", (status.text, style), (about, "dim"))


def heading(text: str, note: str = "") -> Text:
    """A section's title with what it shows."""
    return Text.assemble("\n", (text, "bold"), (f"  {note}" if note else "", "dim"))


# ---------------------------------------------------------------------------------------- figures


@dataclass(frozen=True, slots=True)
class _Figures:
    """The figures of a point, in tables of so few rounds that names and digits have their room."""

    found: Explanation

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        for rounds in range(len(self.found.rounds), 0, -1):
            tables = [self._table(n, rounds) for n in range(0, len(self.found.rounds), rounds)]
            widths = (Measurement.get(console, options.update(max_width=10_000), t) for t in tables)
            if max(w.maximum for w in widths) <= options.max_width:
                break
        yield from (part for table in tables for part in ("", table))

    def _table(self, begin: int, rounds: int) -> Table:
        part = slice(begin, begin + rounds)
        titles = [round_name(r).replace(" (", "\n(") for r in self.found.rounds[part]]
        table = _columns("", *([] if begin else ["over rounds", "±"]), *titles)
        for name, interval, values in measured(self.found):
            cells = [] if begin else [both_text(interval), spread_text(interval)]
            style = "" if interval else "dim"
            table.add_row(name, *cells, *map(ms, values[part]), style=style)
        for name, values in conditions(self.found):
            table.add_row(name, *([] if begin else ["", ""]), *map(ms, values[part]))
        return table


# -------------------------------------------------------------------------- timeline, distribution


def _timelines(rounds: Sequence[RoundDetail]) -> list[RenderableType]:
    lines = [(r, r.timeline) for r in rounds if r.timeline is not None]
    values = np.concatenate([t.p50_ms for _, t in lines]) if lines else np.empty(0)
    known = values[np.isfinite(values)]
    if not known.size:
        return []
    low, high = float(known.min()), float(known.max())
    note = f"medians from {significant(low)} to {significant(high)} ms; │ window of about " + (
        f"{significant(lines[0][1].window_s, 2)} s │"
    )
    return [heading("latency over time", note), *(_timeline(r, t, low, high) for r, t in lines)]


def _timeline(found: RoundDetail, line: LatencyTimeline, low: float, high: float) -> Text:
    step = len(line.seconds) // COLUMNS
    text = Text(f"round {found.row.round + 1:<3} ")
    inside = False
    for i in range(0, len(line.seconds), step):
        at = float(line.seconds[i : i + step].mean())
        if inside != (0 <= at <= line.window_s):
            inside = not inside
            text.append("│", "bold cyan")
        part = line.p50_ms[i : i + step]
        failed = line.failed[i : i + step].any()
        text.append(_spark(part, low, high), "red" if failed else "" if inside else "dim")
    text.append("│" if inside else "", "bold cyan")
    return text.append(f" MSER-5 +{significant(found.cut_s, 2)} s" if found.cut_s else "", "dim")


def _spark(values: NDArray[np.float64], low: float, high: float) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return " "
    share = (float(known.max()) - low) / (high - low) if high > low else 0.0
    return BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))]


def _distribution(rounds: Sequence[RoundDetail]) -> list[RenderableType]:
    """A histogram of all rounds in bins of equal ratio; each line ends with the share up to it."""
    edges, counts = histogram(rounds, ROWS)
    if not counts.size:
        return []
    total, most, below = int(counts.sum()), int(counts.max()), 0
    lines: list[RenderableType] = [
        heading("distribution", f"{counted(total, 'request')} that succeeded, all rounds")
    ]
    for i, count in enumerate(counts.tolist()):
        below += count
        label = f"{significant(edges[i]):>8} – {significant(edges[i + 1]):<8} ms "
        share = f"{count:>9,}  ≤ {100 * below / total:.4g}%"
        lines.append(Text.assemble(label, (f"{_bar(count / most, 36):<36}", "cyan"), share))
    return lines


def _bar(share: float, width: int) -> str:
    eighths = round(share * width * 8)
    if share > 0:
        eighths = max(1, eighths)
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


# -------------------------------------------------------------------------------- flags, failures


def _flags(found: Explanation) -> Iterator[RenderableType]:
    flags = found.summary.every_flag
    yield heading("flags", "" if flags else "none")
    if found.rounds and not found.summary.valid:
        counts = found.summary.measurements
        broken = sum(bool(INVALIDATES.intersection(m.flags)) for m in counts)
        said = f"{broken} of {counted(len(counts), 'round')}, {why_invalid(found.summary)}"
        yield Text(f"invalid in {said}: from half of the rounds on, a point is not ranked")
    for flag in flags:
        bad = flag in INVALIDATES or flag.startswith("failed_")
        style = "bold red" if bad else "bold yellow"
        yield Text.assemble((short(flag), style), f": {flag_text(flag)}")
        for rounds, text in seen(found, flag):
            where = f"  round {', '.join(map(str, rounds))}" if rounds else "  over the rounds"
            yield Text(f"{where}: {text}" if text else where, style="dim")


def _failures(found: Explanation) -> Iterator[RenderableType]:
    messages: Counter[str] = Counter()
    for r in found.rounds:
        messages.update(r.row.details.get("errors") or {})
    if messages or found.summary.failures:
        yield heading("failures")
    for message, count in messages.items():
        yield Text(f"{count:,} × {message.splitlines()[0]}", style="red")
    for f in found.summary.failures:
        first = f.message.splitlines()[0] if f.message else ""
        yield Text(f"round {f.round + 1}: {words_of(f.reason)}: {first}", style="red")
        for note in (f.fix and f"fix: {f.fix}", f.log and f"log: {f.log}"):
            if note:
                yield Text(f"  {note}", style="dim")


def _files(found: Explanation) -> Iterator[RenderableType]:
    if found.rounds:
        yield heading("samples", "scheduled, sent, done in ns; status; caller")
    for r in found.rounds:
        missing = "" if r.timeline is not None else "  (not there)"
        place = f"  {block}" if (block := r.row.details.get("block")) else ""
        yield Text(f"{r.row.samples}{missing}{place}", no_wrap=True, overflow="fold")
