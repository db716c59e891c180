"""The comparison in the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.compare.outputs import words
from harness.compare.result import Comparison, PointResult, Row, Verdict

if TYPE_CHECKING:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from harness.compare.layers.matching import Layers

STYLES = {
    "regression": "bold red", "invalid": "bold magenta", "inconclusive": "yellow",
    "improvement": "bold green", "equivalent": "green",
}  # fmt: skip
MOST_DIFFERING = 12
"""Versions and settings; an interpreter that is there has packages by the hundred."""


def terminal(found: Comparison) -> Group:
    """Verdict, why, the table, and what else is to be known."""
    from rich.console import Group
    from rich.text import Text

    said = [Text(f"note: {text}", style="yellow") for text in words.notes(found)]
    said += [Text(f"outputs: {text}", style="dim") for text in found.outputs]
    differing = [f"{name}: {a} → {b}" for name, a, b in words.differing(found)]
    if more := len(differing[MOST_DIFFERING:]):
        differing[MOST_DIFFERING:] = [f"{more} more, in --json, --markdown and --html"]
    said += [Text(f"differs: {text}", style="dim") for text in differing]
    return Group(
        Text(words.headline(found), style=STYLES[found.verdict]),
        Text(words.explanation(found)),
        _table(found),
        Text(f"{words.CONFIDENCE} intervals; {found.design}", style="dim"),
        *said,
        *_layers(found.layers),
    )


def _layers(layers: Layers | None) -> Iterator[Text | Table]:
    from rich.table import Table
    from rich.text import Text

    if layers is None:
        return
    yield Text(words.layers_said(layers), style="bold")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for index, title in enumerate(words.LAYER_TITLES):
        table.add_column(title, justify="right" if 3 <= index <= 6 else "left", overflow="fold")
    for row in words.layer_rows(layers):
        table.add_row(*(Text(cell) for cell in row))
    yield table


def _table(found: Comparison) -> Table:
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("point", overflow="fold")
    table.add_column("metric", no_wrap=True)
    for title in ("base", "candidate", "change", "95 % interval", "tolerance"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("blocks", justify="right")
    table.add_column("verdict", no_wrap=True)
    for point in found.points:
        _add(table, point)
    for row in found.pooled:
        _line(table, words.POOLED, row, str(row.judged.verdict))
    return table


def _add(table: Table, point: PointResult) -> None:
    if not point.rows:
        blank = [""] * 6
        table.add_row(point.place, *blank, "", _styled(point.verdict))
    for row in point.rows:
        _line(table, point.place, row, str(row.judged.verdict))
    for row in point.beside:
        _line(table, point.place, row, "")


def _line(table: Table, place: str, row: Row, verdict: str) -> None:
    pooled = place == words.POOLED
    table.add_row(
        place, row.metric.with_unit if not pooled else row.metric.title,
        "" if pooled else words.value(row.base), "" if pooled else words.value(row.candidate),
        words.change(row), words.interval(row) or "n/a",
        f"±{100 * row.metric.margin:g} %" if verdict else "",
        str(row.judged.blocks), _styled(verdict), style="" if verdict else "dim",
    )  # fmt: skip


def _styled(verdict: str) -> str:
    if not verdict:
        return ""
    return f"[{STYLES[verdict]}]{words.SYMBOLS[Verdict(verdict)]} {verdict}[/]"
