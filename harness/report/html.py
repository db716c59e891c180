"""The view as HTML: one file with everything in it, and the print version that becomes the PDF."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from harness.report import interactive
from harness.report.view import View


@cache
def environment() -> jinja2.Environment:
    """Templates with every text escaped; a name that is missing is an error."""
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("harness.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["css_string"] = css_string
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    return found


def css_string(text: str) -> Markup:
    """Text for between the quotes of a CSS string: all but letters, digits and spaces escaped."""
    plain = (c if c.isalnum() or c == " " else f"\\{ord(c):06x} " for c in text)
    return Markup("".join(plain))


def sections(view: View, *, screen: bool = True) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Id, title and sub-entries of each section, in order: the contents."""
    details = [(d.id, d.name) for d in view.details]
    return [
        ("summary", "Summary", []),
        ("points", "Every point", []),
        *([("capacity", "Capacity", [])] if view.capacity is not None else []),
        ("comparison", "Backend comparison", []),
        *([("details", "Each configuration", details)] if details else []),
        *([("explained", "Each point in detail", [])] if screen and view.explained else []),
        ("parity", "Parity", []),
        ("environment", "Environment", []),
        ("method", "How it was measured", []),
        ("flagged", "What failed and what was flagged", []),
    ]


def render_html(view: View) -> str:
    """The self-contained page: Plotly inlined once, no other request."""
    from plotly.offline import get_plotlyjs

    figures = {chart.id: interactive.figure(chart) for chart in view.screen_charts()}
    # Plotly's own script, not text from a scenario; it holds no end tag that could cut it short
    script = Markup(get_plotlyjs())
    return _render("report.html.j2", view, figures=figures, plotly=script)


def render_print(view: View, drawings: dict[str, str], pages: dict[str, int]) -> str:
    """The print version; `drawings` are SVG elements by chart id, `pages` page numbers by section.

    The drawings come from matplotlib, which escapes the texts in them; its DejaVu fonts stand in on
    a machine that has no others.
    """
    import matplotlib as mpl

    safe = {key: Markup(svg) for key, svg in drawings.items()}
    fonts = Path(mpl.get_data_path(), "fonts", "ttf").as_uri()
    return _render("print.html.j2", view, drawings=safe, pages=pages, fonts=fonts)


def _render(template: str, view: View, **more: Any) -> str:
    contents = sections(view, screen=template == "report.html.j2")
    return environment().get_template(template).render(view=view, contents=contents, **more)
