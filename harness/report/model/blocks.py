"""What a report is made of: cells, tables and charts, as data without any format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from harness.analysis.intervals import Interval
from harness.report.model import numbers

T = TypeVar("T")
MOST_ROWS = 1000
"""Of a table, and dots of a chart: a page with more is slow to open."""
_NOTHING = ("", "—", numbers.NOT_AVAILABLE)
Mode = Literal["line", "thin", "marks", "bar"]
Size = Literal["half", "third", "full"]
Tone = Literal["", "good", "bad", "muted"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One table cell; `range` is the interval under the value, `note` shows on hovering."""

    text: str
    range: str = ""
    note: str = ""
    tone: Tone = ""
    number: bool = False
    swatch: str = ""
    """A colour to show before the text: the series' colour in the charts."""
    status: bool = False
    """Whether it says how a point went, which may take several words."""
    link: str = ""
    """Anchor of what tells more, in a table that has them."""
    heat: float = 0.0
    """In a heat map: how hot it is, from 0 to 1."""


@dataclass(frozen=True, slots=True)
class Header:
    """A column's title."""

    text: str
    number: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells, each row as long as the headers."""

    headers: tuple[Header, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it has rows: one without is left out."""
        return bool(self.rows)


def table(
    headers: Sequence[str], rows: Sequence[Sequence[Cell]], notes: Iterable[str] = ()
) -> Table:
    """A table; a column of which every cell is a number (or n/a) is set flush right."""
    numeric = [bool(rows) and all(row[i].number for row in rows) for i in range(len(headers))]
    return Table(
        tuple(Header(h, n) for h, n in zip(headers, numeric, strict=True)),
        tuple(tuple(row) for row in rows),
        tuple(notes),
    )


def listing(
    rows: Iterable[T], columns: Mapping[str, Callable[[T], Cell]], notes: Iterable[str] = (),
    most: int = MOST_ROWS,
) -> Table:  # fmt: skip
    """A table of what each column, by its title, says of each of `rows`; one that says nothing of
    any is left out, and named under the table; so are rows beyond the `most`.
    """
    every = list(rows)
    items = every[:most]
    cells = {title: [cell(r) for r in items] for title, cell in columns.items()}
    empty = [t for t, found in cells.items() if found and all(c.text in _NOTHING for c in found)]
    said = [f"Left out, being empty in every row: {', '.join(empty)}."] if empty else []
    if len(items) < len(every):
        said.append(f"The first {most:,} of {len(every):,} rows; the run's CSV files have all.")
    kept = {t: found for t, found in cells.items() if t not in empty}
    return table(list(kept), list(zip(*kept.values(), strict=True)), [*notes, *said])


def thinned(items: Sequence[T], most: int = MOST_ROWS) -> list[T]:
    """At most so many, evenly spread."""
    return list(items[:: -(-len(items) // most)] if items else ())


def some_of(drawn: int, every: int) -> tuple[str, ...]:
    """That not all dots are drawn; nothing where they are."""
    return (f"Of {every:,} other points {drawn:,} are drawn.",) if drawn < every else ()


def word(text: str, *, tone: Tone = "", note: str = "", swatch: str = "") -> Cell:
    """A cell of text."""
    return Cell(text, tone=tone, note=note, swatch=swatch)


def status(text: str, *, tone: Tone = "", note: str = "") -> Cell:
    """A cell that says how a point went."""
    return Cell(text, tone=tone, note=note, status=True)


def figure(text: str, *, note: str = "") -> Cell:
    """A cell of a number that is already text; `n/a` is greyed."""
    return Cell(text, note=note, tone="muted" if text == "n/a" else "", number=True)


def number_cell(value: float | None, form: str = "") -> Cell:
    """A number with three significant digits, or in a `form` of `format`; None is `n/a`."""
    if value is None:
        return figure(numbers.NOT_AVAILABLE)
    return figure(format(value, form) if form else numbers.significant(value))


def interval_cell(interval: Interval | None, *, note: str = "") -> Cell:
    """A value over its interval."""
    tone: Tone = "muted" if interval is None else ""
    return Cell(numbers.value_text(interval), numbers.range_text(interval), note, tone, number=True)


def percentile_cell(percentile: str, interval: Interval | None) -> Cell:
    """A percentile; where it is n/a, hovering says which floor was missed."""
    return interval_cell(interval, note="" if interval else numbers.floor_text(percentile))


@dataclass(frozen=True, slots=True)
class ChartSeries:
    """One trace of a chart; lists are as long as `x`."""

    name: str
    """What the legend calls it; traces of the same name share one entry."""
    color: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    mode: Mode = "line"
    """`thin` is a line without markers, for many values."""
    x_range: tuple[tuple[float, float] | None, ...] = ()
    y_range: tuple[tuple[float, float] | None, ...] = ()
    """Interval of each value, or None."""
    labels: tuple[str, ...] = ()
    """What hovering over a value says."""
    marker: int = 0
    """Which marker, and dash unless that is given: one a batch size."""
    dash: int | None = None
    """Which dash, where it tells configurations apart and the marker something else."""
    hatch: int = 0
    """Which pattern fills a bar; 0 is none."""
    right: bool = False
    """Whether the right axis applies."""
    width: float = 0.5
    """Of a bar, in units of x."""
    texts: tuple[str, ...] = ()
    """What stands beside each value in the chart; empty for nothing."""

    @property
    def dashed(self) -> int:
        """Which dash its line has."""
        return self.marker if self.dash is None else self.dash


def trace(
    name: str, color: str, points: Iterable[tuple[float, float, str]], mode: Mode = "line",
    marker: int = 0, dash: int | None = None,
) -> ChartSeries:  # fmt: skip
    """A trace of points without intervals: x, y, and what hovering says."""
    x, y, labels = tuple(zip(*points, strict=True)) or ((), (), ())
    return ChartSeries(name, color, x, y, mode, labels=labels, marker=marker, dash=dash)


@dataclass(frozen=True, slots=True)
class ReferenceLine:
    """A constraint, drawn as a dashed line across the chart."""

    axis: Literal["x", "y"]
    value: float
    label: str


@dataclass(frozen=True, slots=True)
class Band:
    """A stretch of the x axis with a name, shaded behind the data."""

    begin: float
    end: float
    label: str
    line: int = 0
    """Where the label stands: 0 above the chart, where it has room, else that line below its top.
    """


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as data: drawn by Plotly in HTML and by matplotlib in PDF."""

    id: str
    title: str
    x_title: str
    y_title: str
    series: tuple[ChartSeries, ...]
    table: Table
    """The same data, for the fold under the chart."""
    right_title: str = ""
    ticks: tuple[str, ...] = ()
    """Labels of x = 0, 1, 2, …; empty for a numeric axis."""
    sideways: bool = False
    """Whether `ticks` are of y, the first at the top: bars lie, and the chart grows with them."""
    stacked: bool = False
    log_x: bool = False
    log_y: bool = False
    bounds: tuple[ReferenceLine, ...] = ()
    notes: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    """What each marker stands for, in order, where the legend must say it."""
    bands: tuple[Band, ...] = ()
    zero: bool = True
    """Whether linear axes of values begin at 0."""
    size: Size = "half"
    """How much of the page's width it takes."""


def percentile_name(percentile: str) -> str:
    """`p99.9` for `p999`; `mean` as it is."""
    return numbers.PERCENTILE_NAMES.get(percentile, percentile)
