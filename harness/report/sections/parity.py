"""Parity: each backend's outputs against the reference's, before anything was timed."""

from __future__ import annotations

from harness.report.model.blocks import Cell, Table, Tone, figure, listing, number_cell, word
from harness.report.model.context import Context
from harness.report.model.numbers import NOT_AVAILABLE
from harness.report.model.section import Section, TableBlock, Text
from harness.results.rows import ParityRow

TONES: dict[str, Tone] = {"agrees": "good", "disagrees": "bad"}


def section(context: Context) -> Section:
    """What was compared, and how far apart outputs are."""
    found = parity_table(context)
    tables = [] if found is None else [TableBlock(found)]
    return Section("parity", "Parity", (Text(_note(context)), *tables))


def _note(context: Context) -> str:
    if not context.data.parity:
        return "No parity check is in this run."
    unavailable = [p.backend for p in context.data.parity if p.status == "unavailable"]
    note = (
        "Before anything is timed, each backend's outputs are compared with the reference on "
        "several distinct inputs at every batch size."
    )
    if unavailable:
        names = ", ".join(dict.fromkeys(unavailable))
        note += f" For {names} there is nothing to compare with, so parity is unavailable."
    return note


def parity_table(context: Context) -> Table | None:
    """Each backend's outputs against the reference, a row a batch size."""
    if not context.data.parity:
        return None
    return listing(context.data.parity, {
        "Backend": lambda p: word(p.backend),
        "Batch": lambda p: figure(str(p.batch_size)),
        "Outputs": lambda p: Cell(p.status, p.message, tone=TONES.get(p.status, "muted")),
        "Compared with": lambda p: word(p.reference),
        "Inputs": lambda p: figure(str(p.inputs)),
        "Max abs. error": lambda p: number_cell(p.max_abs_error, ".2g"),
        "Mean abs. error": lambda p: number_cell(p.mean_abs_error, ".2g"),
        "Max rel. error": lambda p: number_cell(p.max_rel_error, ".2g"),
        "Tolerance": lambda p: word(p.tolerance or "—"),
        "Top-1 agreement": _agreement,
    })  # fmt: skip


def _agreement(row: ParityRow) -> Cell:
    share = row.top1_agreement
    return figure(NOT_AVAILABLE if share is None else f"{100 * share:.4g}%")
