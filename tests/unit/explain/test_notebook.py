"""A run and a point as HTML for a notebook."""

from __future__ import annotations

from pathlib import Path

from support.synthetic_run import write_all_failed

from harness.explain.notebook import MOST, as_html, as_text, run_html
from harness.report.model.context import Context, build_context
from harness.report.sections.answer import answer
from harness.results.store import read_run


def test_the_answer_comes_first_and_then_the_best_points(cpu: Context) -> None:
    html = run_html(cpu)
    assert html.index("<strong>") < html.index("<table>")
    assert html.count("<tr>") == 1 + MOST
    assert "14 more points in <code>summary()</code>" in html
    best = cpu.choice.best
    assert best is not None
    assert html.split("<td>")[1].startswith(cpu.name(best))


def test_texts_of_a_scenario_can_not_break_out(evil_run: Path) -> None:
    context = build_context(read_run(evil_run))
    html = run_html(context)
    assert "<script" not in html
    assert "&lt;b&gt;$x_1$" in html


def test_a_run_in_which_everything_failed_says_so(tmp_path: Path) -> None:
    context = build_context(read_run(write_all_failed(tmp_path / "r")))
    html = run_html(context)
    assert str(answer(context)[0]).split(".", maxsplit=1)[0][:40] in html
    assert "#b3261e" in html


def test_a_page_is_plain_text_or_coloured_html() -> None:
    from rich.text import Text

    page = Text("1 < 2", style="bold red")
    assert as_text(page) == "1 < 2\n"
    assert "1 &lt; 2" in as_html(page)
    assert "font-weight: bold" in as_html(page)
