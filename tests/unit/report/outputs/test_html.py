"""The HTML as text: order, agreement with the CSV, escaping, self-containment."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from support.packed import unpacked_text
from support.synthetic_run import EVIL, write_all_failed, write_bare, write_run

from harness.report.build import build_report
from harness.report.model.context import Context, build_context
from harness.report.model.numbers import fixed
from harness.report.outputs.html import css_string, render_html
from harness.report.view import build_view
from harness.results.store import read_run


class Page(HTMLParser):
    """Tags, attributes, and the rows of every table as text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.rows: list[list[str]] = []
        self.text = ""
        self._skip = False
        self._cell: list[str] | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._skip = tag in ("script", "style")
        if tag == "tr":
            self.rows.append([])
        if tag == "td":
            self._cell = []
        if tag == "span" and self._cell is not None:
            self._cell.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag == "td" and self._cell is not None:
            self.rows[-1].append("".join(self._cell).strip())
            self._cell = None
        if tag in ("script", "style"):
            self._skip = False

    def handle_data(self, data: str) -> None:
        if self._skip:
            return
        self.text += data
        if self._cell is not None:
            self._cell.append(data)


@pytest.fixture(scope="module")
def html(cpu: Context) -> str:
    return render_html(build_view(cpu))


def test_sections_stand_in_model_analyzers_order(html: str) -> None:
    titles = [
        "TAKE", "Throughput against tail latency", "Every point",
        "How the choice was made", "Throughput vs. Latency", "Host Memory vs. Latency",
        "Best point of each configuration", "Pareto front", "Points on the front",
        "Backend comparison", "Speed-up",
        "Size on disk", "Loading and memory", "Configuration: torch-cpu-fp32",
        "Online Performance, batch 1", "Host Memory vs. Latency", "Same outputs as the reference",
        "Environment",
        "How it was measured", "What failed and what was flagged",
    ]  # fmt: skip
    body = html[html.index("<main ") :]
    at = 0
    for title in titles:
        found = re.compile(f">{re.escape(title)}<").search(body, at)
        assert found, f"{title} is not there, or too early"
        at = found.end()


def test_everything_is_in_the_file(html: str) -> None:
    page = Page(html)
    assert "plotly.js v" not in html  # as text it would be three times as long
    assert unpacked_text(html, "plotly").count("plotly.js v") == 1
    assert len(html) < 3_000_000
    assert not [t for t, a in page.tags if t in ("script", "img", "iframe") and a.get("src")]
    links = [a.get("href") or "" for t, a in page.tags if t in ("a", "link")]
    assert all(link.startswith(("#", "data:")) for link in links)
    ids = [a["id"] for _, a in page.tags if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {unquote(link[1:]) for link in links if link.startswith("#")} <= set(ids)


def test_numbers_are_those_of_the_csv(html: str, cpu_run: Path, tmp_path: Path) -> None:
    build_report(cpu_run, output=tmp_path, formats=("csv",))
    table = pd.read_csv(tmp_path / "summary.csv")
    rows = Page(html).rows
    checked = 0
    for _, line in table.dropna(subset=["throughput_low"]).iterrows():
        key = [line["backend"], str(line["batch_size"]), str(line["concurrency"])]
        (shown,) = [
            r for r in rows if len(r) > 10 and r[1:4] == key and r[4] == str(line["rounds"])
        ]
        value, low, high = re.findall(r"[\d,.]+", shown[6])
        places = len(value.partition(".")[2])
        assert [value, low, high] == [
            fixed(line[c], places) for c in ("throughput", "throughput_low", "throughput_high")
        ]
        checked += 1
    assert checked == 23


def test_missing_percentile_says_which_floor(html: str) -> None:
    cells = [a for t, a in Page(html).tags if t == "td" and "title" in a]
    assert "p99 needs 662 requests a round" in {a["title"] for a in cells}


def test_failures_flags_and_method_are_in_words(html: str) -> None:
    text = Page(html).text
    assert "the Triton server ended during the measurement" in text
    assert "no answer before the deadline" in text
    assert "the host needed more than 80 % of the computing time" in text
    assert "Points were measured in 2 to 3 rounds; asked for were 3 rounds. Each round" in text
    assert "Closed loop. At concurrency N there are N callers" in text
    assert "Open loop." not in text
    assert "p50 11, p90 64, p95 130, p99 662, p99.9 6,636" in text
    assert "legacy" in text
    assert "fallback: torch.export: op not known" in text


def test_difference_that_is_not_shown_is_said(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", noise=0.2, failures=False)
    page = Page(render_html(build_view(build_context(read_run(run)))))
    assert "no difference shown" in {a.get("title") for t, a in page.tags if t == "td"}
    assert "Grey: no difference shown, the interval includes 1." in page.text


def test_texts_from_scenarios_stay_texts(evil_run: Path) -> None:
    html = render_html(build_view(build_context(read_run(evil_run))))
    page = Page(html)
    assert "<script>window.pwned" not in html
    assert "<img" not in html
    assert EVIL in page.text  # shown as it was written
    assert [t for t, _ in page.tags].count("script") == 5
    assert not [t for t, _ in page.tags if t == "b"]
    figures = re.search(r'id="figures">(.*?)</script>', html)
    assert figures is not None
    assert "<" not in figures.group(1)
    json.loads(figures.group(1))
    assert EVIL not in unpacked_text(html, "folded")  # Plotly reads a little HTML


def test_css_string_can_not_be_left() -> None:
    assert css_string('a"b\\</style>') == "a\\000022 b\\00005c \\00003c \\00002f style\\00003e "


@pytest.mark.parametrize("write", [write_all_failed, write_bare])
def test_runs_without_a_number_have_a_report(tmp_path: Path, write: object) -> None:
    assert callable(write)
    html = render_html(build_view(build_context(read_run(write(tmp_path / "r")))))
    assert re.search(r"<h1>.*: nothing (can be recommended|was measured)</h1>", html)
    assert json.loads(re.search(r'id="figures">(.*?)</script>', html).group(1)) == {}  # type: ignore[union-attr]


def test_interrupted_run_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path / "r", complete=False)
    context = build_context(read_run(run))
    text = Page(render_html(build_view(context))).text
    found = {r.rounds for r in context.rows if r.rounds}
    assert len(found) > 1
    rounds = f"{min(found)} to {max(found)} rounds"
    assert f"This run did not reach its end: it has 45 of 72 measurements, {rounds} a poi" in text
    assert f", concurrency 1, 2, 4, {rounds}" in text


def test_every_manifest_key_may_be_missing(cpu_run: Path, tmp_path: Path) -> None:
    manifest = json.loads((cpu_run / "manifest.json").read_text(encoding="utf-8"))
    for key in manifest:
        run = tmp_path / key
        run.mkdir()
        less = {k: v for k, v in manifest.items() if k != key}
        (run / "manifest.json").write_text(json.dumps(less), encoding="utf-8")
        (run / "journal.jsonl").write_bytes((cpu_run / "journal.jsonl").read_bytes())
        assert "66" in render_html(build_view(build_context(read_run(run))))
