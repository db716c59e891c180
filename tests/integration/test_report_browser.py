"""The HTML report in a real, headless Chromium, opened from a file."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from support.stress import records, run_of, stress
from support.synthetic_run import EVIL, write_all_failed, write_run
from support.synthetic_variants import write_variants

from harness.report.build import build_report
from harness.stress.answers import answer
from harness.stress.report import write_report
from harness.stress.results import Results
from harness.stress.thresholds import judge
from harness.swarm.shapes import schedule

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


WATCH = """
    window.order = [];
    new MutationObserver(() => {
        for (const plot of document.querySelectorAll(".plot:has(svg.main-svg)"))
            if (!window.order.includes(plot.id)) window.order.push(plot.id);
    }).observe(document, {childList: true, subtree: true});
"""
"""Notes in which order charts appear."""


@dataclass
class Opened:
    """A page with everything it said and asked for while it was open."""

    page: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def open_report(browser: Any, run: Path) -> Opened:
    html = build_report(run, formats=("html",)).html
    assert html is not None
    opened = Opened(browser.new_page(viewport={"width": 1400, "height": 900}))
    page = opened.page
    page.on("console", lambda m: opened.errors.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: opened.errors.append(str(error)))
    page.on("request", lambda request: opened.requests.append(request.url))
    page.add_init_script(WATCH)
    page.goto(html.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    return opened


@pytest.fixture(scope="module")
def evil(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Opened:
    run = write_run(
        tmp_path_factory.mktemp("browser") / "evil", evil=True,
        constraints={"latency_p95_ms": {"max": 400.0}},
    )  # fmt: skip
    return open_report(browser, run)


def test_no_error_and_no_request_but_the_file(evil: Opened) -> None:
    assert evil.errors == []
    assert [u for u in evil.requests if not u.startswith(("file:", "data:", "blob:"))] == []
    assert len([u for u in evil.requests if u.startswith("file:")]) == 1


BLOCKED = {
    "fetch": "fetch('https://example.invalid/a').catch(() => 0)",
    "image": "new Image().src = 'https://example.invalid/b.png'",
    "form": """document.body.insertAdjacentHTML('beforeend',
        '<form action="https://example.invalid/c"><input></form>');
        document.forms[document.forms.length - 1].submit()""",
    "beacon": "navigator.sendBeacon('https://example.invalid/d', 'x')",
    "frame": "document.body.insertAdjacentHTML('beforeend', '<iframe src=https://example.invalid>')",
    "script": "document.head.append(Object.assign(document.createElement('script'), "
              "{textContent: 'window.pwned = 1'}))",
    "handler": "document.body.insertAdjacentHTML('beforeend', '<img src=data:, "
               "onerror=window.pwned=1>')",
}  # fmt: skip


@pytest.fixture(scope="module")
def planted_in(browser: Any, evil: Opened) -> Iterator[tuple[Any, list[Any]]]:
    """A page of its own, opened once for all that is planted, and what it asks for."""
    page, asked = browser.new_page(), list[Any]()
    page.on("request", lambda request: asked.append(request))  # noqa: PLW0108 playwright
    page.goto(evil.page.url)
    page.set_default_timeout(60_000)
    yield page, asked
    page.close()


@pytest.mark.parametrize("planted", BLOCKED)
def test_the_page_may_ask_nobody_for_anything(
    planted_in: tuple[Any, list[Any]], planted: str
) -> None:
    page, asked = planted_in
    asked.clear()
    page.evaluate(
        f"""new Promise((done) => {{
            addEventListener("securitypolicyviolation", () => done(), {{once: true}});
            setTimeout(done, 3000);
            {BLOCKED[planted]};
        }})"""
    )
    assert page.evaluate("window.pwned") is None
    outside = [r.failure for r in asked if "example.invalid" in r.url]
    assert set(outside) <= {"csp"}, "never sent"


def test_no_button_uploads_a_chart(evil: Opened) -> None:
    buttons = evil.page.evaluate(
        "[...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)"
    )
    assert "Zoom" in buttons and "Download plot as a PNG" in str(buttons)
    assert [b for b in buttons if re.search("cloud|share|studio|edit", b or "", re.I)] == []
    urls = evil.page.evaluate(
        "[...document.querySelectorAll('.plot:has(svg)')].map((p) => p._context.plotlyServerURL)"
    )
    assert len(urls) > 10 and set(urls) == {""}


def test_every_chart_is_drawn_with_its_traces(evil: Opened) -> None:
    plots = evil.page.evaluate(
        """() => [...document.querySelectorAll(".plot")].map((plot) => ({
            id: plot.id,
            marks: plot.querySelectorAll(".trace path.point, .trace .point path").length,
            bars: plot.querySelectorAll(".yerror, .xerror").length,
            wide: plot.querySelector("svg.main-svg")?.clientWidth ?? 0,
        }))"""
    )
    # page 1, the choice, Pareto front, comparison, two served ones against one in process, three
    # configurations at two batch sizes with their memory; the fourth is folded
    plots = [plot for plot in plots if plot["wide"] or plot["marks"]]
    assert len(plots) == 1 + 2 + 2 + 2 + 2 + 3 * 3
    for plot in plots:
        assert plot["marks"] > 0, plot
        assert plot["bars"] > 0, plot
        assert plot["wide"] > 200, plot


def test_a_dark_screen_has_dark_charts_and_paper_is_light(evil: Opened) -> None:
    page = evil.page

    def colours() -> list[str]:
        found: list[str] = page.evaluate(
            """() => [getComputedStyle(document.body).backgroundColor,
                document.getElementById("chart-first").layout.paper_bgcolor,
                document.getElementById("chart-first").data.at(-1).line.color,
                getComputedStyle(document.querySelector("#summary td .swatch")).backgroundColor,
                getComputedStyle(document.querySelector("#summary .key path")).stroke]"""
        )
        return found

    light = colours()
    assert light[:2] == ["rgb(255, 255, 255)", "#FFFFFF"]
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "() => document.getElementById('chart-first').layout.paper_bgcolor === '#161B22'"
    )
    dark = colours()
    assert dark[0] == "rgb(22, 27, 34)"
    assert all(a != b for a, b in zip(light, dark, strict=True))
    page.emulate_media(color_scheme="dark", media="print")
    page.wait_for_function(
        "() => document.getElementById('chart-first').layout.paper_bgcolor === '#FFFFFF'"
    )
    assert colours() == light
    page.emulate_media(color_scheme="light", media="screen")


def test_the_keyboard_does_what_the_mouse_does(evil: Opened) -> None:
    page = evil.page
    page.evaluate("() => { document.body.tabIndex = -1; document.body.focus(); }")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")  # past the contents: page 1's legend
    assert page.evaluate("Boolean(document.activeElement.closest('#summary'))")
    legend = page.locator("#summary .legend button").first
    legend.press("Enter")
    assert legend.get_attribute("aria-pressed") == "true"
    legend.press("Enter")
    fold = page.locator("#choice details summary").first
    fold.press("Enter")
    assert fold.evaluate("s => s.parentElement.open")
    page.locator(".every th button", has_text="Batch").press("Enter")
    assert page.locator(".every th", has_text="Batch").get_attribute("aria-sort") == "descending"
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", (
        "what has the focus is seen"
    )


def test_without_scripts_page_1_has_its_chart_and_tables(browser: Any, evil: Opened) -> None:
    page = browser.new_page(java_script_enabled=False)
    page.goto(evil.page.url.partition("#")[0])
    drawn = page.locator("#summary figure noscript > svg, #summary figure svg:not(.key)").first
    assert (drawn.bounding_box() or {})["width"] > 300
    assert page.locator("#summary .plot").first.is_hidden()
    page.locator("#summary details summary").first.click()
    assert page.locator("#summary details table").first.is_visible()
    page.close()


def test_charts_appear_from_the_top(evil: Opened) -> None:
    ids = evil.page.evaluate(
        "[...document.querySelectorAll('.plot')]"
        ".filter((plot) => !plot.closest('details.detail')).map((plot) => plot.id)"
    )
    assert len(ids) > 10 and evil.page.evaluate("window.order") == ids


def test_plots_hold_the_points_of_the_table_under_them(evil: Opened) -> None:
    points, rows = evil.page.evaluate(
        """() => {
            const plot = document.getElementById("chart-throughput-latency");
            const rows = plot.parentElement.querySelectorAll("details tbody tr").length;
            const data = plot.data;
            return [data.reduce((n, t) => n + t.x.length, 0), rows];
        }"""
    )
    assert points == rows == 23


def test_texts_do_not_run_and_show_as_written(evil: Opened) -> None:
    assert evil.page.evaluate("window.pwned") is None
    assert evil.page.evaluate("document.querySelectorAll('main img, main b').length") == 0
    assert EVIL in evil.page.inner_text("main")
    legend = evil.page.inner_html("#chart-throughput-latency + .legend")
    assert "&lt;b&gt;$x_1$&amp;amp;evil" in legend


def opacities(page: Any, chart: str) -> dict[str, str]:
    """Series → opacity of its trace, as drawn."""
    found: dict[str, str] = page.evaluate(
        """(id) => Object.fromEntries(
            [...document.querySelectorAll(`#chart-${id} g.trace`)].map((trace) => [
                trace.__data__[0].trace.name, getComputedStyle(trace).opacity]))""",
        chart,
    )
    return found


def test_one_series_is_emphasised_in_every_chart(evil: Opened) -> None:
    page, name = evil.page, "torch-cpu-fp32"
    entry = page.locator(f"#chart-throughput-latency + .legend [data-series='{name}']")
    for act, shown in ((entry.hover, "0.12"), (lambda: page.mouse.move(2, 2), "1")):
        act()
        for chart in ("throughput-latency", "memory-latency", "latency-by-batch"):
            found = opacities(page, chart)
            assert len(found) > 2
            assert found.pop(name) == "1"
            assert set(found.values()) == {shown}
    entry.click()  # stays when the pointer leaves
    page.mouse.move(2, 2)
    assert opacities(page, "memory-latency")["triton-grpc-onnxruntime"] == "0.12"
    entry.click()
    page.mouse.move(2, 2)
    assert set(opacities(page, "memory-latency").values()) == {"1"}


def test_evil_names_link_like_others(evil: Opened) -> None:
    """A name is escaped in the trace and in the page alike, else nothing would be found."""
    entry = evil.page.locator("#chart-throughput-latency + .legend button", has_text="evil")
    entry.hover()
    values = list(opacities(evil.page, "throughput-latency").values())
    assert values.count("0.12") == len(values) - 1
    evil.page.mouse.move(2, 2)


def test_charts_with_the_same_axis_zoom_together(evil: Opened) -> None:
    def ranges() -> list[list[float]]:
        found: list[list[float]] = evil.page.evaluate(
            """() => ["throughput-latency", "memory-latency", "latency-by-batch"].map(
                (id) => document.getElementById(`chart-${id}`).layout.xaxis.range)"""
        )
        return found

    before = ranges()
    evil.page.evaluate(
        """() => Plotly.relayout("chart-throughput-latency", {"xaxis.range": [1.7, 2.1]})"""
    )
    evil.page.wait_for_function(
        """() => document.getElementById("chart-memory-latency").layout.xaxis.range[0] === 1.7"""
    )
    assert ranges() == [[1.7, 2.1], [1.7, 2.1], before[2]]


def test_folds_open_and_contents_lead_to_their_sections(evil: Opened) -> None:
    page = evil.page
    fold = page.locator("#summary details").first
    assert not fold.locator("table").is_visible()
    fold.locator("summary").click()
    assert fold.locator("table").is_visible()
    page.click("nav a[href='#method']")
    page.wait_for_function("() => document.querySelector('nav a.now')?.hash === '#method'")


@pytest.mark.parametrize("width", [1280, 1400])
def test_no_column_of_the_samples_points_is_hidden(browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((Path(__file__).parents[2] / "reports/sample/report.html").as_uri())
    page.wait_for_selector("table.every th button")
    wide, room = page.evaluate(
        "() => { const t = document.querySelector('table.every');"
        " return [t.scrollWidth, t.closest('.scroll').clientWidth] }"
    )
    page.close()
    assert wide <= room


def test_no_figure_of_page_one_reaches_into_the_next_on_a_phone(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    page.goto((Path(__file__).parents[2] / "reports/sample/report.html").as_uri())
    wide = page.evaluate(
        "() => [...document.querySelectorAll('.beside td:not(.chart td)')].filter("
        "td => td.scrollWidth > td.clientWidth + 1).map(td => td.textContent)"
    )
    page.close()
    assert wide == []


@pytest.mark.parametrize("width", [390, 1400])
def test_no_word_is_broken_beside_a_long_value(browser: Any, width: int) -> None:
    """As the facts of the environment were beside the run's command."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto((Path(__file__).parents[2] / "reports/sample/report.html").as_uri())
    broken = page.evaluate(
        "() => [...document.querySelectorAll('table.pairs td:first-child')].filter(td => {"
        " const text = document.createRange(); text.selectNodeContents(td);"
        " return /^\\w+$/.test(td.textContent) && text.getClientRects().length > 1"
        "}).map(td => td.textContent)"
    )
    page.close()
    assert broken == []


@pytest.mark.parametrize("width", [390, 1400, 1700])
def test_page_fits_a_window(evil: Opened, width: int) -> None:
    evil.page.set_viewport_size({"width": width, "height": 800})
    evil.page.wait_for_function(
        "w => document.documentElement.scrollWidth <= w", arg=width, timeout=60_000
    )
    bottom, right = evil.page.evaluate(
        "() => [document.querySelector('.verdict').getBoundingClientRect().bottom,"
        " document.querySelector('.beside table').getBoundingClientRect().right]"
    )
    contents = evil.page.evaluate("() => document.querySelector('nav').getBoundingClientRect().top")
    evil.page.set_viewport_size({"width": 1400, "height": 900})
    if width < 900:
        assert bottom < contents  # values first
    else:
        assert right <= width  # no column is hidden


CUT = """() => [...document.querySelectorAll(".plot:has(svg.main-svg)")].flatMap((plot) => {
  const room = plot.getBoundingClientRect();
  const names = plot.layout.xaxis.ticktext;
  if (!names || plot.layout.xaxis.type === "log") return [];
  const drawn = [...plot.querySelectorAll(".xaxislayer-above .xtick text")]
    .filter((text) => getComputedStyle(text).display !== "none" && text.style.opacity !== "0");
  const title = plot.querySelector(".g-xtitle text")?.getBoundingClientRect();
  const cut = drawn.map((text) => [text.textContent, text.getBoundingClientRect()])
    .filter(([, box]) => box.bottom > room.bottom + 1 || box.left < room.left - 1 ||
      box.right > room.right + 1 || (title && box.bottom > title.top + 1 && box.right > title.left
        && box.left < title.right)).map(([text]) => text);
  return drawn.length < names.length ? [...cut, `${plot.id}: ${drawn.length} names`] : cut;
})"""


@pytest.mark.parametrize("width", [1400, 600])
def test_every_name_under_a_bar_is_seen_whole(browser: Any, evil: Opened, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(evil.page.url)
    page.wait_for_selector("html[data-drawn]", state="attached")
    assert page.evaluate("() => !!document.querySelector('#chart-gap-0 svg.main-svg')")
    assert page.evaluate(CUT) == []
    page.close()


def test_where_nothing_hovers_no_buttons_cover_a_chart(browser: Any, evil: Opened) -> None:
    touched = browser.new_context(
        viewport={"width": 390, "height": 800}, has_touch=True, is_mobile=True
    )
    page = touched.new_page()
    page.goto(evil.page.url)
    page.wait_for_selector("html[data-drawn]", state="attached")
    shown = "() => [...document.querySelectorAll('.modebar')].filter((b) => b.checkVisibility())"
    assert page.evaluate(f"{shown}.length") == 0
    touched.close()
    assert evil.page.evaluate(f"{shown}.length") > 0  # a mouse finds them


COVERED = """() => {
  const boxes = [...document.querySelectorAll("#chart-rates .annotation")]
    .filter((label) => label.style.visibility !== "hidden")
    .map((label) => [label.textContent, label.getBoundingClientRect()]);
  const over = (a, b) =>
    a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  return [boxes.map(([text]) => text),
    boxes.some(([, a], i) => boxes.slice(i + 1).some(([, b]) => over(a, b)))];
}"""


def test_names_of_phases_and_faults_never_cover_one_another(browser: Any, tmp_path: Path) -> None:
    steps = {"step": {"begin": 20, "end": 100, "steps": 10, "duration": "40s"}}
    section = stress(shape=steps, arrivals="constant")
    merged = records(schedule(section, 0) / 1e9, 5.0)
    faults = [{"kind": kind, "begin": at, "end": at + 3, "how": "", "problem": ""}
              for kind, at in (("network", 11.0), ("pause", 13.0), ("kill", 34.0))]  # fmt: skip
    run = replace(run_of(section, merged, 40.0, faults=faults), directory=tmp_path)
    run.manifest["scenario"].update(backends=[{"kind": "triton", "protocol": "grpc"}])
    found = answer(run)
    html = write_report(Results(run, found, {}, judge(section.thresholds, found, {})))
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto(html.as_uri())
    page.wait_for_selector("html[data-drawn]", state="attached")
    names, covered = page.evaluate(COVERED)
    assert names == [*(f"step {i + 1}" for i in range(10)), "network", "pause", "kill"]
    assert not covered
    page.set_viewport_size({"width": 390, "height": 800})
    page.wait_for_function(f"() => ({COVERED})()[0].length < 13", timeout=60_000)
    names, covered = page.evaluate(COVERED)
    page.close()
    assert not covered
    assert {"step 1", "network", "pause", "kill"} <= {*names}


def test_run_without_a_number_opens_without_error(browser: Any, tmp_path: Path) -> None:
    opened = open_report(browser, write_all_failed(tmp_path / "failed"))
    assert opened.errors == []
    assert "no point can be ranked" in opened.page.inner_text(".answer")
    assert opened.page.locator(".plot").count() == 0


def test_folded_configurations_are_drawn_when_opened(browser: Any, tmp_path: Path) -> None:
    opened = open_report(browser, write_variants(tmp_path / "variants"))
    page = opened.page
    fold = page.locator("details.detail").first
    assert fold.locator("svg.main-svg").count() == 0
    name = fold.locator("> summary").inner_text().removeprefix("Configuration: ")
    page.click(f"nav a:text-is('{name}')")  # the contents lead into the fold
    fold.locator(".plot").last.locator("svg.main-svg").first.wait_for()
    drawn = fold.locator(".plot:has(svg.main-svg)").count()
    assert drawn == fold.locator(".plot").count() == 5
    config = page.locator(".detail", has_text="Difference from the default").first
    assert "+ dynamic_batching {" in config.locator(".diff").inner_text()
    assert opened.errors == []


def test_the_table_of_points_filters_sorts_and_keeps_it_in_the_address(
    browser: Any, tmp_path: Path
) -> None:
    opened = open_report(browser, write_run(tmp_path / "r", failures=False))
    page = opened.page
    page.select_option(".tools select[name=Batch]", "4")
    assert "#points?Batch=4" in page.url
    page.click('.every th button:has-text("p50")')
    shown = page.locator(".every tbody tr:not([hidden])")
    assert all("/b4/" in (row.get_attribute("id") or "") for row in shown.all())
    first, url = shown.first.get_attribute("id"), page.url
    page.goto("about:blank")
    page.goto(url)  # the selection comes back from the address
    assert page.locator(".every tbody tr:not([hidden])").first.get_attribute("id") == first
    point = (first or "").removeprefix("row:")
    page.locator(".every tbody tr:not([hidden]) td.status a").first.click()
    assert page.url.endswith(f"#{point}")
    assert page.evaluate("id => document.getElementById(id).open", point)
    page.go_back()  # and so does it from the details
    assert "#points?Batch=4" in page.url
    left = shown.count()
    assert 0 < left < 24
    page.click(".tools button")
    page.fill(".tools input", "")
    page.press(".tools input", "Control+V")
    pasted = page.input_value(".tools input")
    assert pasted.startswith('"Rank","Configuration","Batch"') and "," in pasted
    assert (
        pasted.count('"onnxruntime-') + pasted.count('"torch-') + pasted.count('"triton-') == left
    )
    assert "\u2013" not in pasted, "no interval within a value"
    page.fill(".tools input", "no such point")
    assert shown.count() == 0
    assert "0 of 24 points" in page.inner_text(".tools output")
    page.goto(f"{url.split('#')[0]}#%")  # no address of this page
    assert not opened.errors
    page.close()


def test_each_sort_puts_what_has_no_number_last(evil: Opened) -> None:
    """Upwards and downwards; names with every character lead to their details, too."""
    page = evil.page
    column = page.locator(".every th", has_text="p50")
    index = column.evaluate("th => th.cellIndex")
    found = []
    for _ in range(2):
        column.locator("button").click()
        found.append(page.locator(f".every tbody td:nth-child({index + 1})").evaluate_all(
            "cells => cells.map((c) => parseFloat(c.firstChild.textContent.replaceAll(',', '')))"
        ))  # fmt: skip
    down, up = ([v for v in values if v == v] for values in found)
    assert down == sorted(down, reverse=True) and up == sorted(up) and len(up) > 10
    assert all(
        values[: len(up)] == ordered for values, ordered in zip(found, (down, up), strict=True)
    )
    row = page.locator(".every tbody tr", has_text="evil").first
    row.locator("td.status a").click()
    point = (row.get_attribute("id") or "").removeprefix("row:")
    assert page.evaluate("id => document.getElementById(id).open", point)
