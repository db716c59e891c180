"""The terminal's table: a line a point, in as many columns as the terminal is wide."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.analysis import best, speedup
from harness.report.model import judged, labels
from harness.report.model.context import Context
from harness.report.model.numbers import NOT_AVAILABLE, spread_text, value_text
from harness.report.sections.points import status_cell
from harness.scenario.metrics import METRICS

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.table import Table
    from rich.text import Text

    from harness.analysis.summary import SummaryRow

Columns = dict[str, Callable[["SummaryRow"], str]]
"""Title → a point's figure."""

SPEED_UP, SPREAD, ERRORS = "speed-up", "±", "errors"
NAME_CELLS, STATUS_CELLS, TITLE_CELLS, GAP = (8, 26), 12, 12, 2
"""Where a name is folded, at a hyphen, in the least and in much room; what the status is left with
where figures need the rest; where the title of a constraint's column is folded; and what lies
between two columns."""
LEAST_LEFT = NAME_CELLS[0] - STATUS_CELLS // 3
"""Where constraints leave names and status less than this, they stand in tables of their own."""
_LESS_NEEDED = ("host MiB", ERRORS, "p90 ms", "GPU MiB", "p50 ms", SPREAD)
"""What a narrow terminal does without, in this order, after the metrics' table's optional ones;
errors only where there are none."""
_STYLES = {"✓": "green", "✗": "red", "?": "yellow", "~": "dim"}


@dataclass(frozen=True, slots=True)
class PointsTable:
    """The table for a console of any width: figures are never cut, whole columns are left out."""

    context: Context

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        context, width, plain = self.context, options.max_width, options.ascii_only
        every, apart = columns(context), list[Columns]()
        shown = fitting(context, every, width)
        if context.bounds and _left(context, shown, width) < LEAST_LEFT:
            every = columns(bare := replace(context, bounds={}))
            apart = _apart(context, columns(context).keys() - every.keys(), width)
            shown = fitting(bare, every, width)
        yield _table(context, shown, name_cells(context, shown, width), plain=plain)
        for part in apart:
            yield _table(context, part, name_cells(context, part, width), plain=plain, status=False)
        for note in _notes(context, every, shown):
            yield Text(note, style="dim")


def columns(context: Context) -> Columns:
    """All columns of figures; percentiles that no point has are left out, but for p50 and p99.

    A metric that is constrained has its bound in the title, and a sign before the value.
    """
    found: Columns = {"batch": lambda row: row.request, "load": labels.short_load}
    said = {name: labels.bound_text(name, bound) for name, bound in context.bounds.items()}
    titles = {n: textwrap.fill(t, TITLE_CELLS, break_long_words=False) for n, t in said.items()}
    for metric in METRICS.values():
        known = any(r.value(metric.name) for r in context.rows)
        wanted = metric.key in ("p50", "p99") or not (metric.percentile or metric.optional)
        if metric.terminal and (context.has_gpu if metric.gpu else known or wanted):
            title = titles.pop(metric.name, "")
            found[title or metric.terminal] = _judged(context, metric.name, bounded=bool(title))
        if metric.name == "throughput":
            found[SPREAD] = lambda row: spread_text(row.throughput) or NOT_AVAILABLE
            found |= _speed_up(context)
    more = {title: _judged(context, name, bounded=True) for name, title in titles.items()}
    return found | more | {ERRORS: lambda row: str(row.errors)}


def _judged(context: Context, name: str, *, bounded: bool) -> Callable[[SummaryRow], str]:
    if not bounded:
        return lambda row: value_text(row.value(name))
    return lambda row: next(j.text for j in judged.judged(context, row) if j.metric == name)


def _speed_up(context: Context) -> Columns:
    """Throughput over the reference's at the same batch and load; nothing without another."""
    ratios = speedup.speedups(context.rows, context.reference or "", context.differences)

    def said(row: SummaryRow) -> str:
        ratio = ratios.get(row.point)
        unsure = "" if ratio is None or best.differs(ratio) else "~"
        return unsure + value_text(ratio) if row.point in ratios else "1"

    return {SPEED_UP: said} if any(ratios.values()) else {}


def fitting(context: Context, every: Columns, width: int) -> Columns:
    """The columns that `width` has room for, beside names and status that may be folded."""
    shown, room = dict(every), _left(context, every, width)
    longest, errors = _longest_name(context, NAME_CELLS[1]), any(r.errors for r in context.rows)
    for title in (*(m.terminal for m in METRICS.values() if m.optional), *_LESS_NEEDED):
        if room >= longest:
            break
        if title in shown and not (title == ERRORS and errors):
            room += GAP + _cells(context, title, shown.pop(title))
    return shown


def _apart(context: Context, titles: Collection[str], width: int) -> list[Columns]:
    """Constraints for which the table of the figures has no room, in tables as wide as there is."""
    every = columns(context)
    where = {title: every[title] for title in ("batch", "load")}
    parts = [where]
    for title in (t for t in every if t in titles):
        wider = {**parts[-1], title: every[title]}
        if parts[-1] is where or _left(context, wider, width) >= LEAST_LEFT:
            parts[-1] = wider
        else:
            parts.append({**where, title: every[title]})
    return parts


def name_cells(context: Context, shown: Columns, width: int) -> int:
    """How wide the names' column is."""
    room = max(NAME_CELLS[0], _left(context, shown, width))
    return min(room, _longest_name(context, NAME_CELLS[1]))


def _left(context: Context, shown: Columns, width: int) -> int:
    """What these columns leave of `width` for the names, where the status has its least."""
    states = max((len(_status(r)) for r in context.rows), default=0)
    figures = sum(GAP + _cells(context, title, get) for title, get in shown.items())
    return width - figures - GAP - min(states, STATUS_CELLS)


def _longest_name(context: Context, most: int) -> int:
    """Cells of the longest name, folded where it is longer than `most`."""
    names = [textwrap.fill(name, most) for name in context.series]
    return max((len(line) for name in names for line in name.splitlines()), default=0)


def _cells(context: Context, title: str, get: Callable[[SummaryRow], str]) -> int:
    return max(map(len, [*title.split("\n"), *(get(r) for r in context.rows)]))


def _table(
    context: Context, shown: Columns, names: int, *, plain: bool, status: bool = True
) -> Table:
    """The table; `plain` for a terminal that has no signs beyond ASCII."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("backend", no_wrap=True)
    for title in shown:
        table.add_column(title, justify="right", no_wrap=True)
    if status:
        table.add_column("status", overflow="fold")
    for row in context.ordered:
        figures = (_figure(get(row), plain=plain) for get in shown.values())
        tone = {"bad": "red", "good": "green"}.get(status_cell(row).tone, "yellow")
        name = textwrap.fill(context.name(row), names)
        state = [Text(_status(row), style=tone)] if status else []
        table.add_row(_figure(name), *figures, *state)
    return table


def _notes(context: Context, every: Columns, shown: Columns) -> list[str]:
    """What the speed-up is over, and what there was no room for."""
    over = f"infer/s over {context.reference_series} at the same batch and load"
    said = [f"speed-up: {over}; ~ where no difference is shown"] if SPEED_UP in shown else []
    if any(" +" in _status(row) for row in context.rows):
        said.append("status +N: so many more remarks, in the report and harness explain")
    if lacking := labels.listed(title for title in every if title not in shown):
        said.append(f"no room here for {lacking}: a wider terminal or the report has them")
    return said


def _status(row: SummaryRow) -> str:
    """The first remark, and how many more there are; a verdict, and rounds left out, whole."""
    status = status_cell(row)
    remarks, _, rounds = status.text.partition("; ")
    first, *more = remarks.split(", ") if status.tone not in ("bad", "good") else [remarks]
    return "; ".join(filter(None, (f"{first} +{len(more)}" if more else first, rounds)))


def _figure(text: str, *, plain: bool = False) -> Text:
    from rich.text import Text

    style = "dim" if text == NOT_AVAILABLE else _STYLES.get(text[:1], "")
    sign = judged.ASCII.get(text[:1]) if plain else None
    return Text(sign + text[1:] if sign else text, style=style)
