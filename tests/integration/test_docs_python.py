"""docs/python.md as a notebook: every block runs in a real kernel, and a run shows itself there."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from support.paths import ROOT

BLOCKS = re.findall(
    r"^```python\n(.*?)^```$", (ROOT / "docs" / "python.md").read_text("utf-8"), re.M | re.S
)


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory) -> list[nbformat.NotebookNode]:
    """The page's blocks, executed one after the other."""
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(b) for b in BLOCKS])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        resources = {"metadata": {"path": str(folder)}}
        NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert (folder / "reports" / "report.html").stat().st_size > 100_000
    return notebook.cells


def shown(cells: list[nbformat.NotebookNode], code: str) -> nbformat.NotebookNode:
    """What the block that holds `code` displays."""
    (cell,) = [c for c in cells if code in c.source]
    text = "".join(o.text for o in cell.outputs if o.output_type == "stream")
    return nbformat.from_dict({**cell.outputs[-1], "text": text})


def best_of(cells: list[nbformat.NotebookNode]) -> str:
    """The best point by name: of `fast`, which of its two is up to what else runs here."""
    return str(shown(cells, "best = run.best").text.split()[0])


def fast_is_believed(html: str) -> bool:
    """Whether `fast` must be the best: nothing else ran meanwhile and put a round in doubt, as one
    round alone shows no difference.
    """
    rows = re.findall(r"<tr>.*?</tr>", html, re.S)
    assert len(rows) == 1 + 4
    return not any("invalid" in row or "disturbed" in row for row in rows)


def test_a_run_displays_as_html(cells: list[nbformat.NotebookNode]) -> None:
    html = shown(cells, 'output="two-services"').data["text/html"]
    assert "<strong>fast</strong>" in html or not fast_is_believed(html)
    assert html.count("<tr>") == 1 + 4
    assert "<script" not in html


def test_a_point_displays_as_html_and_as_text(cells: list[nbformat.NotebookNode]) -> None:
    data = shown(cells, "run.explain(").data
    assert data["text/html"].startswith("<pre")
    assert "font-weight" in data["text/html"]
    assert data["text/plain"].startswith(best_of(cells))


def test_frames_display_and_the_best_is_the_fast_one(cells: list[nbformat.NotebookNode]) -> None:
    assert "latency_p50_ms" in shown(cells, "run.summary()").data["text/html"]
    html = shown(cells, 'output="two-services"').data["text/html"]
    assert best_of(cells).startswith("fast/") or not fast_is_believed(html)


def test_progress_is_told_of_every_measurement(cells: list[nbformat.NotebookNode]) -> None:
    lines = shown(cells, "def show(event)").text.splitlines()
    assert len(lines) == 4
    assert re.fullmatch(r"round [12] (slow|fast)/b1/c1: \d+ inferences/s", lines[0])


def test_mistakes_come_with_their_place(cells: list[nbformat.NotebookNode]) -> None:
    assert (
        "<python>:2:1: backend: unknown key; did you mean 'backends'?"
        in shown(cells, "ScenarioError").text
    )


def test_links_to_the_page_and_every_name_of_it() -> None:
    page = (ROOT / "docs" / "python.md").read_text("utf-8")
    from harness.api import Run

    public = [name for name in vars(Run) if not name.startswith("_")]
    assert [n for n in (*public, "path") if f"`{n}`" not in page and f"run.{n}" not in page] == []
    assert "docs/python.md" in Path(ROOT / "README.md").read_text("utf-8")
