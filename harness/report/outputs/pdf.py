"""The PDF: the print version of the same template, set by PlutoPrint, charts by matplotlib.

PlutoPrint knows no `target-counter`, so the contents' page numbers are counted first: every
section starts on a new page, and its pages are those of the section set alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import plutoprint

from harness.report.outputs.html import render_print
from harness.report.view import View

_MARK = re.compile(r"<!--section:([\w-]+)-->")
"""Stands before each section; what follows the mark `end` closes the document."""
BASE = "report:report.html"
"""Base address for links within the document; nothing is ever fetched from it."""


def write_pdf(view: View, drawings: Mapping[str, str], path: Path, created: str) -> None:
    """Write the PDF to `path`; `drawings` are SVG elements by chart id, `created` is an ISO 8601
    time for its metadata.
    """
    pages = section_pages(render_print(view, drawings, {}))
    book = _book(render_print(view, drawings, pages))
    _metadata(book, view, created)
    book.write_to_pdf(str(path))


def section_pages(html: str) -> dict[str, int]:
    """First page of each section, counted by setting each section alone."""
    marks = list(_MARK.finditer(html))
    head, tail = html[: marks[0].start()], html[marks[-1].start() :]
    page, found = 1, {}
    for mark, following in pairwise(marks):
        found[mark.group(1)] = page
        alone = html[mark.end() : following.start()]
        if alone.strip():  # a section may have no page of its own before its first part
            page += int(_book(head + alone + tail).get_page_count())
    return found


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
