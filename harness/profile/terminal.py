"""A profile in the terminal: the answer, the findings, the longest operators."""

from __future__ import annotations

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from harness.profile import sentences
from harness.profile.result import BackendProfile, BatchProfile, Profile
from harness.profile.rows import COLUMNS, longest

SHOWN = 8
"""Operators of each batch size."""


def page(profile: Profile) -> RenderableType:
    """Everything, for a console."""
    parts: list[RenderableType] = [Text(text) for text in sentences.of_profile(profile)]
    parts += map(Text, sentences.left_out(profile))
    if profile.findings:
        parts += [Text(""), _findings(profile), Text(sentences.OVERLAP, style="dim")]
    for backend in profile.backends:
        for batch in backend.batches:
            parts += [Text(""), _operators(backend, batch)]
    return Group(*parts, Text(""), Text(sentences.NO_TIMING, style="yellow"))


def _findings(profile: Profile) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False)
    for name in ("", "backend", "batch", "what", "saves at most", "scenario", "measured"):
        table.add_column(name, overflow="fold")
    for f in profile.findings:
        table.add_row(
            str(f.number), f.backend, str(f.batch), Text(f.title), f"{f.saving:.0%}", Text(f.line),
            Text(sentences.tried_text(f)),
        )  # fmt: skip
    return table


def _operators(backend: BackendProfile, batch: BatchProfile) -> Table:
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=f"{backend.name}, batch {batch.batch}",
                  title_justify="left")  # fmt: skip
    for name in COLUMNS:
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for row in longest(batch, SHOWN):
        table.add_row(*(Text(said(row, backend)) for said in COLUMNS.values()))
    return table
