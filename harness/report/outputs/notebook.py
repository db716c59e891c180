"""A run, and one point of it, as HTML for a notebook: no script, no request to anywhere."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from harness.report.model.context import Context, best_first
from harness.report.model.labels import counted, load_label
from harness.report.model.numbers import PERCENTILE_NAMES, spread_text, value_text
from harness.report.model.section import Sentence
from harness.report.sections.answer import answer
from harness.report.sections.points import status_cell

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST = 10
"""Points in the table: the best ones."""
WIDTH = 110
"""Columns of a point's page."""
COLORS = {"bad": "#b3261e", "good": "#1b7f3b"}
_PRE = '<pre style="line-height:1.3;font-family:monospace;white-space:pre">{code}</pre>'


def run_html(context: Context) -> str:
    """What was found, and the best points in a small table."""
    said = "".join(f"<p>{_sentence(sentence)}</p>" for sentence in answer(context))
    state = "" if context.data.complete else "<p><em>This run did not reach its end.</em></p>"
    return f"<div><h3>{escape(context.model)}</h3>{said}{state}{_table(context)}</div>"


def _sentence(sentence: Sentence) -> str:
    return "".join(
        f"<strong>{escape(span.text)}</strong>" if span.strong else escape(span.text)
        for span in sentence.spans
    )


def _table(context: Context) -> str:
    rows = best_first(context)
    if not rows:
        return ""
    latency = ("p50", "p99")
    titles = ("backend", "batch", "load", "inferences/s", "±", *(f"{PERCENTILE_NAMES[p]} ms"
              for p in latency), "status")  # fmt: skip
    lines = []
    for row in rows[:MOST]:
        status = status_cell(row)
        cells = [
            context.name(row), str(row.batch_size), load_label(row), value_text(row.throughput),
            spread_text(row.throughput), *(value_text(row.latency_ms.get(p)) for p in latency),
        ]  # fmt: skip
        color = COLORS.get(status.tone, "inherit")
        lines.append(
            "".join(f"<td>{escape(cell)}</td>" for cell in cells)
            + f'<td style="color:{color}">{escape(status.text)}</td>'
        )
    head = "".join(f"<th>{escape(title)}</th>" for title in titles)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    more = counted(len(rows) - MOST, "more point") if len(rows) > MOST else ""
    rest = f"<p>{more} in <code>summary()</code></p>" if more else ""
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def as_text(page: RenderableType) -> str:
    """What a terminal would show, without colours."""
    return _render(page, html=False)


def as_html(page: RenderableType) -> str:
    """What a terminal would show, with its colours."""
    return _render(page, html=True)


def _render(page: RenderableType, *, html: bool) -> str:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(page, highlight=False)
    if html:
        return console.export_html(inline_styles=True, code_format=_PRE)
    return console.export_text()
