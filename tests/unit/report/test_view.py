"""The order of sections, what the contents list, and that a new section needs one function only."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from support.paths import ROOT

from harness.report import view as module
from harness.report.model.blocks import figure, listing, word
from harness.report.model.context import Context
from harness.report.model.section import Section, TableBlock, Text
from harness.report.outputs.html import render_html, render_print
from harness.report.view import SECTIONS, build_view


def test_sections_stand_in_the_order_of_the_table(gpu: Context) -> None:
    made = [make(gpu) for make in SECTIONS]
    assert [s.id for s in build_view(gpu).sections] == [s.id for s in made if s is not None]
    ids = [s.id for s in build_view(gpu).sections]
    assert len(ids) == len(set(ids))


def test_print_leaves_out_what_is_folded(variants: Context) -> None:
    view = build_view(variants)
    screen, paper = ({i: b for i, _, b in view.contents(screen=s)} for s in (True, False))
    assert "explained" in screen and "explained" not in paper
    assert {name for _, name in screen["details"]} == {*variants.series}
    shown = [name for _, name in paper["details"]]
    assert 0 < len(shown) < len(variants.series) and set(variants.defaults) <= set(shown)
    assert "points" in screen and "points" not in paper
    assert not {c.id for c in view.all_charts()} & {c.id for c in view.folded_charts()}


def test_full_print_has_what_short_print_leaves_to_the_screen(variants: Context) -> None:
    short, full = build_view(variants), build_view(variants, full=True)
    assert short.shortened and not full.shortened
    paper = {i: below for i, _, below in full.contents(screen=False)}
    assert "points" in paper
    assert {name for _, name in paper["details"]} == {*variants.series}
    assert short.contents(screen=True) == full.contents(screen=True)
    pages = {}
    for name, view in (("short", short), ("full", full)):
        drawn = {chart.id: f"<svg id='{chart.id}'/>" for chart in view.printed_charts()}
        pages[name] = render_print(view, drawn, {})
    for title in ("Best point of each configuration", "Packages", "The scenario as written"):
        assert title in render_html(short)
    for title in ("Best point of each configuration", "Packages", "cenario as written"):
        assert title in pages["full"] and f">{title}" not in pages["short"]
    assert "harness report --full" in pages["short"]
    assert "harness report --full" not in pages["full"]


def test_a_new_section_is_one_function(cpu: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    def section(context: Context) -> Section:
        rows = listing(context.rows, {"Point": lambda r: word(r.point),
                                      "Requests": lambda r: figure(str(r.requests))})  # fmt: skip
        return Section("own", "Our <own>", (Text("Said here."), TableBlock(rows, "Requests")))

    monkeypatch.setattr(module, "SECTIONS", (*SECTIONS[:1], section))
    view = build_view(cpu)
    drawings = {chart.id: "<svg/>" for chart in view.all_charts()}
    for html in (render_html(view), render_print(view, drawings, {"own": 7})):
        assert '<section id="own"' in html and "<h2>Our &lt;own&gt;</h2>" in html
        assert "<p>Said here.</p>" in html and "torch-cpu-fp32/b1/c1" in html
        assert '<a href="#own">Our &lt;own&gt;</a>' in html


def test_the_section_that_the_page_adds_is_whole(
    cpu: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs/reports.md").read_text("utf-8").partition("## Adding a section")[2]
    made: dict[str, Callable[[Context], Section | None]] = {}
    exec(re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)[0], made)
    monkeypatch.setattr(module, "SECTIONS", (*SECTIONS[:1], made["section"]))
    view = build_view(cpu)
    drawings = {chart.id: "<svg/>" for chart in view.all_charts()}
    for html in (render_html(view), render_print(view, drawings, {"rates": 7})):
        own = html.partition('<section id="rates"')[2]
        assert "All rounds together." in own
        assert all(f"{row.requests:,}" in own for row in cpu.rows)


def test_a_thing_has_one_name(gpu: Context, variants: Context) -> None:
    others = (
        r"infer/sec|CPU Memory|\bRAM\b|Memory Usage|Response Wait|\b[Uu]tilization\b|"
        r"Request Concurrency|Average (latency|CPU)|Client (latency|Batch)|Model Config"
    )
    for context in (gpu, variants):
        page = re.sub(r"<script.*?</script>", "", render_html(build_view(context)), flags=re.S)
        figures = repr(build_view(context).all_charts())
        assert not {m.group() for m in re.finditer(others, page + figures)}


def test_the_footer_says_what_made_it_and_when(cpu: Context) -> None:
    assert build_view(cpu).footer == "harness 0.1.0 · run of 2026-03-04 10:11 UTC"
