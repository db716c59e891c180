"""A run, and one point of it, as HTML for a notebook: no script, no request to anywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report.model.context import Context
from harness.report.model.labels import counted, load_label
from harness.report.model.numbers import PERCENTILE_NAMES, spread_text, value_text
from harness.report.outputs.html import environment
from harness.report.sections.answer import answer
from harness.report.sections.points import status_cell
from harness.scenario.metrics import latency_name

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

MOST = 10
"""Points in the table: the best ones."""
WIDTH = 110
"""Columns of a point's page."""
COLORS = {"bad": "#b3261e", "good": "#1b7f3b"}
_PRE = '<pre style="line-height:1.3;font-family:monospace;white-space:pre">{code}</pre>'


def run_html(context: Context) -> str:
    """What was found, and the best points in a small table."""
    points, latency = context.ordered, ("p50", "p99")
    rows = [
        ((context.name(row), row.request, load_label(row), value_text(row.throughput),
          spread_text(row.throughput), *(value_text(row.value(latency_name(p))) for p in latency)),
         status_cell(row))
        for row in points[:MOST]
    ]  # fmt: skip
    return environment().get_template("notebook.html.j2").render(
        context=context, answer=answer(context), rows=rows, colors=COLORS,
        titles=("backend", "batch", "load", "inferences/s", "±",
                *(f"{PERCENTILE_NAMES[p]} ms" for p in latency), "status"),
        more=counted(len(points) - MOST, "more point") if len(points) > MOST else "",
    )  # fmt: skip


def as_text(page: RenderableType) -> str:
    """What a terminal would show, without colours."""
    return _recorded(page).export_text()


def as_html(page: RenderableType) -> str:
    """What a terminal would show, with its colours."""
    return _recorded(page).export_html(inline_styles=True, code_format=_PRE)


def _recorded(page: RenderableType) -> Console:
    import io

    from rich.console import Console

    console = Console(file=io.StringIO(), record=True, width=WIDTH)
    console.print(page, highlight=False)
    return console
