"""The PDF: the print version of the same template, set by PlutoPrint, charts by matplotlib.

PlutoPrint knows no `target-counter`, so the contents' page numbers are counted first: a section
begins a page, and has as many as when it is set alone, but for one that fits where another ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import plutoprint

from harness.report.outputs.html import render_print
from harness.report.view import View
from harness.system.files import atomic_write

_MARK = re.compile(r"(?:<!--section:[\w-]+-->\s*)+")
"""Stands before each section, several before one that begins with a part; what follows the mark
`end` closes the document.
"""
_ID = re.compile(r"section:([\w-]+?)-->")
BASE = "report:report.html"
"""Base address for links within the document; nothing is ever fetched from it."""


def write_pdf(view: View, drawings: Mapping[str, str], path: Path, created: str) -> None:
    """Write the PDF to `path`, whole or not at all; `drawings` are SVG elements by chart id,
    `created` is an ISO 8601 time for its metadata.
    """
    pages, joined = section_pages(render_print(view, drawings, {}, None))
    book = _book(render_print(view, drawings, pages, joined))
    _metadata(book, view, created)
    with atomic_write(path) as temporary:
        book.write_to_pdf(str(temporary))


def section_pages(html: str) -> tuple[dict[str, int], set[str]]:
    """First page of each section of a document of which none begins a page, and which of them fit
    on the page where those before them end.
    """
    marks = list(_MARK.finditer(html))
    head, tail = html[: marks[0].start()], html[marks[-1].start() :]

    def count(text: str) -> int:
        return int(_book(head + text + tail).get_page_count())

    page, used, before = 1, 0, ""  # what joins: its first page, its pages, its text
    found: dict[str, int] = {}
    joined: set[str] = set()
    for mark, following in pairwise(marks):
        ids, alone = _ID.findall(mark.group()), html[mark.end() : following.start()]
        fits = used > 0 and count(before + alone) == used
        if fits:
            joined.update(ids)
        else:
            page, used, before = page + used, count(alone), ""
        before += alone
        found |= dict.fromkeys(ids, page + used - 1 if fits else page)
    return found, joined


def _book(html: str) -> plutoprint.Book:
    # as `@page` in print.css: PlutoPrint shrinks all pages by what the widest is wider than this
    margins = plutoprint.PageMargins(*(mm * plutoprint.UNITS_MM for mm in (15, 14, 14, 14)))
    size = plutoprint.PAGE_SIZE_A4.landscape()
    book = plutoprint.Book(size, margins, plutoprint.MEDIA_TYPE_PRINT)
    book.load_html(html, base_url=BASE)
    return book


def _metadata(book: plutoprint.Book, view: View, created: str) -> None:
    for key, value in (
        (plutoprint.PDF_METADATA_TITLE, f"{view.name} · {view.title}"),
        (plutoprint.PDF_METADATA_SUBJECT, view.footer),
        (plutoprint.PDF_METADATA_CREATION_DATE, created),
        (plutoprint.PDF_METADATA_MODIFICATION_DATE, created),
    ):
        book.set_metadata(key, value)
