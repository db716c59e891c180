"""The PDF, read back: pages, headings, numbers, page numbers of the contents."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pypdf import PdfReader
from support.synthetic_run import CPU_BACKENDS, write_all_failed, write_bare, write_run
from support.synthetic_variants import write_variants

from harness.report.build import build_report
from harness.report.charts import matplotlib as static
from harness.report.model.context import build_context
from harness.report.model.numbers import fixed
from harness.report.outputs.html import render_print
from harness.report.outputs.pdf import _book, section_pages
from harness.report.view import build_view
from harness.results.store import read_run


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = write_run(
        tmp_path_factory.mktemp("pdf") / "run", backends=(CPU_BACKENDS[0], CPU_BACKENDS[3]),
        batch_sizes=(1, 4), concurrency=(1, 4), evil=True,
    )  # fmt: skip
    build_report(run, formats=("pdf", "csv"))
    return run


@pytest.fixture(scope="module")
def pages(built: Path) -> list[str]:
    return [page.extract_text() for page in PdfReader(built / "report.pdf").pages]


def test_first_page_answers(pages: list[str]) -> None:
    first = " ".join(pages[0].split())
    assert "resnet50: take " in first and ", batch 4 · 4 callers" in first
    assert "on AMD EPYC 9B14, 2 cores, 2 threads" in first
    assert all(said in first for said in ("TAKE", "COST", "BEWARE", "Throughput against tail"))
    assert any("window.pwned=1" in page for page in pages)  # a text, as it was written


def test_every_page_has_its_number(pages: list[str]) -> None:
    for number, page in enumerate(pages, 1):
        assert f"Page {number} of {len(pages)}" in page


def test_contents_name_the_page_of_each_heading(pages: list[str]) -> None:
    contents = next(p for p in pages if "Contents" in p)
    entries = re.findall(r"^(.+?) ?\.[ .]{3,}(\d+)$", contents, re.M)
    entries = [(title.strip().replace("⁄", "∕"), page) for title, page in entries]
    assert [title for title, _ in entries] == [
        "Summary", "How the choice was made", "Pareto front",
        "Backend comparison", "Each configuration",
        "<b>$x_1$&amp;evil<∕b>", "torch-cpu-fp32", "Same outputs as the reference",
        "Environment", "How it was measured", "What failed and what was flagged",
    ]  # fmt: skip
    for title, page in entries:
        shown = pages[int(page) - 1].replace("⁄", "∕")
        assert title.replace("Summary", "TAKE") in shown


def test_a_full_pdf_has_what_the_short_one_leaves_out(
    built: Path, pages: list[str], tmp_path: Path
) -> None:
    build_report(built, output=tmp_path, formats=("pdf",), full=True)
    full = [page.extract_text() for page in PdfReader(tmp_path / "report.pdf").pages]
    assert len(full) > len(pages)
    contents = next(p for p in full if "Contents" in p)
    assert re.search(r"^Every point ?\.[ .]{3,}\d+$", contents, re.M)
    assert "Packages" in "".join(full) and "Packages" not in "".join(pages)
    assert "harness report --full" in "".join(pages)
    assert "harness report --full" not in "".join(full)


def test_nothing_is_wider_than_the_page(built: Path) -> None:
    """PlutoPrint would shrink all pages, and each section counted alone by another measure."""
    view = build_view(build_context(read_run(built)))
    drawings = {chart.id: static.svg(chart) for chart in view.all_charts()}
    book = _book(render_print(view, drawings, {}))
    assert book.get_document_width() <= book.get_viewport_width() + 1


def test_sections_that_fit_share_a_page() -> None:
    """And a section that has nothing of its own begins where its first part does."""
    marked = "".join(
        f"<!--section:{id_}-->" + (f'<div style="height: {mm}mm"></div>' if mm else "")
        for id_, mm in {"a": 80, "b": 80, "c": 80, "parts": 0, "d": 300, "e": 40}.items()
    )
    pages, joined = section_pages(f"<html><body>{marked}<!--section:end--></body></html>")
    assert pages == {"a": 1, "b": 1, "c": 2, "parts": 3, "d": 3, "e": 4}
    assert joined == {"b", "e"}


def test_short_sections_stand_on_one_page(pages: list[str]) -> None:
    assert "TAKE" in pages[0] and "Contents" in pages[0]


def test_contents_share_a_page_with_what_follows_where_page_one_is_full(tmp_path: Path) -> None:
    """Of a run with a table of constraints: in one column they stood on a page of their own."""
    run = write_run(tmp_path / "run", evil=True, constraints={"latency_p95_ms": {"max": 400.0}})
    build_report(run, formats=("pdf",))
    second = PdfReader(run / "report.pdf").pages[1].extract_text()
    assert "Contents" in second and "How the choice was made\n" in second
    assert "maximizing throughput" in second


def test_numbers_are_those_of_the_csv(built: Path, pages: list[str]) -> None:
    table = pd.read_csv(built / "summary.csv").dropna(subset=["throughput_low"])
    text = " ".join(pages)
    assert len(table) >= 6
    for _, line in table.iterrows():
        columns = ("throughput", "throughput_low", "throughput_high")
        found = []
        for places in (0, 1, 2):
            value, low, high = (fixed(line[c], places) for c in columns)
            found.append(value in text and f"{low}–{high}" in text)
        assert any(found), line["point"]


def test_same_run_same_bytes(built: Path, tmp_path: Path) -> None:
    build_report(built, output=tmp_path, formats=("pdf",))
    assert (tmp_path / "report.pdf").read_bytes() == (built / "report.pdf").read_bytes()


@pytest.mark.parametrize("write", [write_all_failed, write_bare])
def test_runs_without_a_number_have_a_pdf(tmp_path: Path, write: object) -> None:
    assert callable(write)
    paths = build_report(write(tmp_path / "r"), formats=("pdf",))
    assert paths.pdf is not None
    assert len(PdfReader(paths.pdf).pages) >= 2


def test_the_process_ends_well_after_several_pdfs(tmp_path: Path) -> None:
    """PlutoPrint crashes at exit when Python served it a font: so nothing does."""
    runs = [write_all_failed(tmp_path / str(i)) for i in range(4)]
    code = (
        "import sys, pathlib; from harness.report.build import build_report\n"
        "for run in sys.argv[1:]: build_report(pathlib.Path(run), formats=('pdf',))"
    )
    done = subprocess.run([sys.executable, "-c", code, *map(str, runs)], check=False)
    assert done.returncode == 0


def test_variants_beyond_the_best_are_in_the_html_only(tmp_path: Path) -> None:
    run = write_variants(tmp_path / "r", gpu=False, concurrency=(1, 4))
    paths = build_report(run, formats=("pdf",))
    assert paths.pdf is not None
    pages = [page.extract_text() for page in PdfReader(paths.pdf).pages]
    text = "\n".join(pages)
    assert set(re.findall(r"^Configuration: (.*)$", text, re.M)) == {
        "default", "i2-dyn", "i2-mb8-dyn", "i4-mb8-dyn",
    }  # fmt: skip
    assert "the other 2 are in the HTML report" in text
    assert "Difference from the default" in text
    assert "+ dynamic_batching {" in text
    assert paths.pdf.stat().st_size < 1_000_000
