"""Columns that many tables of points share: title → what the cell says of a row."""

from __future__ import annotations

from collections.abc import Callable

from harness.analysis.constraints import Holds
from harness.analysis.summary import SummaryRow
from harness.report.model.blocks import Cell, Tone, figure, word
from harness.report.model.context import Context
from harness.report.model.labels import load_label

Columns = dict[str, Callable[[SummaryRow], Cell]]


def series_cell(context: Context, name: str) -> Cell:
    """A series' name after its colour."""
    return word(name, swatch=context.colors.get(name, ""))


def errors_cell(errors: int, requests: int) -> Cell:
    """How many of the requests failed."""
    return figure(f"{errors:,} of {requests:,}" if errors else "0")


def holds_cell(answer: Holds, text: str = "", note: str = "") -> Cell:
    """Whether constraints are shown to hold: in a word, or as `text` says it."""
    tones: dict[Holds, Tone] = {"yes": "good", "no": "bad", "unknown": "muted"}
    said = "not shown" if answer == "unknown" else answer
    return word(text or said, tone=tones[answer], note=note)


def load_columns(load_title: str = "Load") -> Columns:
    """Where in the sweep: batch size, with other sizes that vary, and load."""
    return {"Batch": lambda r: figure(r.request),
            load_title: lambda r: figure(load_label(r))}  # fmt: skip


def point_columns(context: Context, *, swatch: bool = False) -> Columns:
    """Which point: its configuration, with its colour where asked for, batch size and load."""
    return {
        "Configuration": lambda r: (
            series_cell(context, context.name(r)) if swatch else word(context.name(r))
        ),
        **load_columns(context.load_title),
    }
