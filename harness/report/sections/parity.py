"""Parity: each backend's outputs against the reference's, before anything was timed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.report.model.blocks import Cell, Table, Tone, figure, listing, number_cell, word
from harness.report.model.context import Context
from harness.report.model.labels import counted, listed
from harness.report.model.numbers import NOT_AVAILABLE
from harness.report.model.section import Section, Sentence, Text, bold, compose, titled
from harness.results.grouping import gathered
from harness.results.rows import MeasurementRow, ParityRow
from harness.scenario.sizes import request_text

TONES: dict[str, Tone] = {"agrees": "good", "disagrees": "bad"}


def section(context: Context) -> Section:
    """What was compared, and how far apart outputs are."""
    rows = context.data.parity
    other = tuple(row for row in rows if row.status != "agrees")
    every = parity_table(rows if len(other) < len(rows) else ())
    tables = [
        *titled(
            ("Not shown to give the same outputs", parity_table(other)),
            ("Under load", under_load_table(context)),
        ),
        *titled(("Every comparison before the load", every), only="appendix", folded=True),
    ]  # fmt: skip
    wrong = wrong_outputs(context)
    said = [Text(f"Wrong outputs: {listed(wrong)}.", "banner")] if wrong else []
    return Section(
        "parity", "Same outputs as the reference", (*said, Text(_note(context)), *tables)
    )


def _wrong(context: Context) -> Iterator[tuple[str, int, MeasurementRow | ParityRow]]:
    """Series, batch size and row of every comparison, before and under load, that disagreed."""
    for row in context.data.parity:
        if row.status == "disagrees":
            yield row.backend, row.batch_size, row
    for m in context.data.measurements:
        if "wrong_outputs" in m.flags or _under_load(m):
            yield context.names.of(m.backend, m.config), m.batch_size, m


def _under_load(row: MeasurementRow) -> str:
    """What differed under load; `parity` alone is a flag of all points of a session."""
    findings = row.details.get("findings") or {}
    return str(findings.get("wrong_outputs") or findings.get("parity") or "")


def wrong_outputs(context: Context) -> list[str]:
    """`torch-tf32 (batch 1, 8)` for each whose outputs differ from the reference's."""
    found = gathered((name, batch) for name, batch, _ in _wrong(context))
    return [f"{n} (batch {', '.join(map(str, sorted(set(b))))})" for n, b in found.items()]


def warned(context: Context, first: Sentence) -> Sentence:
    """The first sentence of an answer, with whose outputs are wrong, if any are."""
    if not (where := wrong_outputs(context)):
        return first
    said = f"Wrong outputs: {listed(where)}. They are no candidates at any batch size or load."
    return compose(*first.spans, " ", bold(said, bad=True))


def under_load_table(context: Context) -> Table:
    """Measurements whose outputs, sampled under load, differ from the reference's."""
    rows = [m for _, _, m in _wrong(context) if isinstance(m, MeasurementRow)]
    return listing(rows, {
        "Point": lambda m: word(m.point, tone="bad"),
        "Round": lambda m: figure(str(m.round + 1)),
        "What differs": lambda m: word(_under_load(m)),
    })  # fmt: skip


def _note(context: Context) -> str:
    rows = context.data.parity
    if not rows:
        return "No parity check is in this run."
    said = [
        "Before anything is timed, each backend's outputs are compared with the reference on "
        "several distinct inputs at every batch size."
    ]
    if compared := [p for p in rows if p.status != "unavailable"]:
        agreeing = sum(p.status == "agrees" for p in compared)
        said.append(
            f"Of {counted(len(compared), 'comparison')} of "
            f"{counted(len({p.backend for p in compared}), 'backend')} "
            f"{'all' if agreeing == len(compared) else agreeing} gave the same outputs as the "
            "reference, within the tolerance."
        )
    if later := sum(isinstance(row, MeasurementRow) for *_, row in _wrong(context)):
        said.append(f"Under load, {counted(later, 'measurement')} gave others.")
    if names := dict.fromkeys(p.backend for p in rows if p.status == "unavailable"):
        said.append(f"For {listed(names)} there is nothing to compare with: parity is unavailable.")
    left_out = dict.fromkeys(p.message for p in rows if p.status != "disagrees" and p.message)
    return " ".join([*said, *(f"{text[:1].upper()}{text[1:]}." for text in left_out)])


def parity_table(rows: Sequence[ParityRow]) -> Table:
    """Backends' outputs against the reference, a row a batch size."""
    return listing(rows, {
        "Backend": lambda p: word(p.backend),
        "Batch": lambda p: figure(request_text(p.batch_size, p.sizes)),
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
