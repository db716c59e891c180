"""The comparison as a page: everything is said, nothing is asked of anybody."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from pypdf import PdfReader

from harness.compare.comparing import STORED
from harness.compare.outputs.page import view_of, write_html, write_pdf
from harness.compare.result import Comparison


def test_the_page_has_the_verdict_its_charts_and_its_tables(
    layered: Comparison, tmp_path: Path
) -> None:
    file = tmp_path / "c.html"
    write_html(file, [layered])
    html = file.read_text("utf-8")
    assert "<strong>REGRESSION. </strong>" in html
    for said in ("How much worse the candidate is", "Where the difference comes from",
                 "Blocks, b1/c1", "Versions and settings", "con|v", "paired t"):  # fmt: skip
        assert said in html, said
    assert "default-src &#39;none&#39;" in html or "default-src 'none'" in html
    assert not re.search(r'(?:src|href)="(?:https?:)?//', html)
    view = view_of([layered])
    charts = [c.id for c in view.all_charts()]
    assert charts == ["forest-0", "blocks-0-0", "blocks-0-1", "layers-0"]
    assert html.count("<noscript>") >= len(charts)


def test_stored_runs_are_told_by_their_own_rule(slower: Comparison, tmp_path: Path) -> None:
    write_html(tmp_path / "s.html", [replace(slower, design=STORED, forced=("other GPU",))])
    html = (tmp_path / "s.html").read_text("utf-8")
    assert "which harness calibrate learned" in html
    assert "paired t" not in html
    assert re.search(r"after \d+ rounds", html)
    assert "slow against a (FORCED: not comparable)" in html


def test_the_pdf_has_the_same(layered: Comparison, tmp_path: Path) -> None:
    file = tmp_path / "c.pdf"
    write_pdf(file, [layered])
    text = "".join(page.extract_text() for page in PdfReader(file).pages)
    assert "REGRESSION" in text
    assert "outside of all layers" in text


def test_several_comparisons_are_told_apart(slower: Comparison, same: Comparison) -> None:
    view = view_of([slower, same])
    ids = [s.id for s in view.sections]
    assert len(set(ids)) == len(ids)
    assert {"summary-0", "summary-1"} <= set(ids)
    charts = [c.id for c in view.all_charts()]
    assert len(set(charts)) == len(charts)
    assert view.name == "slow against a · same against a"


def test_a_candidate_that_cant_run_has_a_page(broken: Comparison, tmp_path: Path) -> None:
    write_html(tmp_path / "b.html", [broken])
    html = (tmp_path / "b.html").read_text("utf-8")
    assert "the candidate can&#39;t run it" in html
    assert "How much worse" not in html


def test_texts_stay_texts(evil: Comparison, tmp_path: Path) -> None:
    write_html(tmp_path / "e.html", [evil])
    assert "<script>alert(1)" not in (tmp_path / "e.html").read_text("utf-8")
