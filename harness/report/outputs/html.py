"""The view as HTML: one file with everything in it, and the print version that becomes the PDF."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from urllib.parse import quote

import jinja2
from markupsafe import Markup

from harness.report.charts import plotly as interactive
from harness.report.charts.legend import entries
from harness.report.model import colours
from harness.report.model.blocks import Cell
from harness.report.view import View

_TEMPLATES = Path(__file__).parents[1] / "templates"
_PAINTED = re.compile(r'<i class="swatch"[^>]*>|<svg class="key".*?</svg>')
"""What has a colour of its own in the page; no text from outside looks like it, being escaped."""


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
    found.filters["series"] = escape  # a name as Plotly has it: see interactive.py
    found.globals["legend"] = entries
    found.globals["cells"] = cells
    found.policies["json.dumps_kwargs"] = {"sort_keys": True, "allow_nan": False}
    return found


def cells(row: Iterable[Cell], linked: bool = False) -> Markup:
    """A table's row, in plain code: a report of many points has some hundred thousand cells."""
    return Markup("\n".join(_cell(c, linked) for c in row))


def _cell(c: Cell, linked: bool) -> str:
    text, class_, more = escape(c.text), "", ""
    if c.number or c.tone or c.swatch or c.status:
        named = ("num ", c.number), ("name ", c.swatch), ("status ", c.status), (c.tone, True)
        class_ = f' class="{"".join(name for name, has in named if has)}"'
    if c.swatch:
        more = f' data-series="{escape(escape(c.text))}"'
        text = f'<i class="swatch" style="background:{escape(c.swatch)}"></i>{text}'
    if c.note:
        more += f' title="{escape(c.note)}"'
    if c.heat:
        more += f' style="background:rgba(213,94,0,{0.6 * c.heat:.3f})"'  # print knows no mixes
    if linked and c.link:
        text = f'<a href="#{quote(c.link)}">{text}</a>'
    ends = f'<span class="range">{escape(c.range)}</span>' if c.range else ""
    return f"<td{class_}{more}>{text}{ends}</td>"


def css_string(text: str) -> Markup:
    """Text for between the quotes of a CSS string: all but letters, digits and spaces escaped."""
    plain = (c if c.isalnum() or c == " " else f"\\{ord(c):06x} " for c in text)
    return Markup("".join(plain))


def render_html(view: View, drawings: Mapping[str, str] | None = None) -> str:
    """The self-contained page: Plotly inlined once, and a policy that forbids every request.

    Plotly and the folds' many values are packed, which takes two thirds off the file. `drawings`
    are SVG elements by chart id, for browsers that run no script: charts without one have their
    table there.
    """
    figures = {chart.id: interactive.figure(chart) for chart in view.all_charts()}
    plotly, plotly_allowed = _plotly()
    script = Markup((_TEMPLATES / "report.js").read_text("utf-8"))
    folded = {chart.id: interactive.figure(chart) for chart in view.folded_charts()}
    page = _render(
        "report.html.j2", view, figures=figures, folded=packed(json.dumps(folded, allow_nan=False)),
        plotly=plotly, script=script, scripts=(_allowed(script), plotly_allowed), css=_styles(),
        dark=colours.DARK, drawings={key: Markup(svg) for key, svg in (drawings or {}).items()},
    )  # fmt: skip
    return _PAINTED.sub(lambda found: colours.themed(found.group()), page)


@cache
def _styles() -> Markup:
    """The page's style sheet, its colours as variables that are others on a dark screen."""
    sheets = "".join((_TEMPLATES / f"{n}.css").read_text("utf-8") for n in ("common", "screen"))
    return Markup(colours.definitions() + colours.themed(sheets))


@cache
def _plotly() -> tuple[str, str]:
    """Plotly as the page has it, and as the page's policy allows it."""
    from plotly.offline import get_plotlyjs

    script: str = get_plotlyjs()
    return packed(script), _allowed(script)


def _allowed(script: str) -> str:
    """A script in a Content-Security-Policy: that text and no other."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def packed(text: str) -> str:
    """Text for the page's `unpack`: gzip in base64, the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), 6, mtime=0)).decode("ascii")


def render_print(
    view: View, drawings: Mapping[str, str], pages: Mapping[str, int],
    joined: Collection[str] | None = (),
) -> str:  # fmt: skip
    """The print version; `drawings` are SVG elements by chart id, `pages` page numbers by section,
    `joined` the sections that begin no page; without, none does.

    The drawings come from matplotlib, which escapes the texts in them; its DejaVu fonts stand in on
    a machine that has no others.
    """
    import matplotlib as mpl

    safe = {key: Markup(svg) for key, svg in drawings.items()}
    fonts = Path(mpl.get_data_path(), "fonts", "ttf").as_uri()
    return _render("print.html.j2", view, drawings=safe, pages=pages, joined=joined, fonts=fonts)


def _render(template: str, view: View, **more: object) -> str:
    contents = view.contents(screen=template == "report.html.j2")
    return environment().get_template(template).render(view=view, contents=contents, **more)
