"""The documentation builds as a site without a warning: every link and anchor leads somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

HOW_TO = (
    "first-steps", "howto/remote-triton", "howto/ci-gate", "howto/gpumemory", "howto/versions",
    "from-model-analyzer", "own-backend", "howto/notebook",
)  # fmt: skip


def build(tree: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(site)],
        cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    said = [line for line in done.stderr.splitlines() if line.startswith("INFO    -  ")]
    assert "\n".join(said) == done.stderr.strip()
    assert "contains a link" not in done.stderr  # to what is left out of the site is told as INFO
    return folder


def test_it_builds_without_a_warning_and_has_every_how_to(site: Path) -> None:
    index = (site / "index.html").read_text("utf-8")
    assert [name for name in HOW_TO if f'href="{name}.html"' not in index] == []


def test_the_first_page_leads_to_all() -> None:
    """README calls it all pages, by what you want to do."""
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text("utf-8")
    pages = [path.relative_to(docs) for path in (*docs.glob("*.md"), *docs.glob("howto/*.md"))]
    assert [p for p in pages if p.name != "index.md" and f"]({p})" not in index] == []


def test_what_lies_outside_of_the_pages_is_part_of_it(site: Path) -> None:
    assert 'href="project/index.html"' in (site / "index.html").read_text("utf-8")
    assert (site / "project/reports/sample/report.html").stat().st_size > 100_000
    assert (site / "project/scenarios/tutorial.yaml").exists()


def test_links_that_lead_nowhere_end_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("site_hook.py", "plan.md"):
        text = (ROOT / "docs" / name).read_text("utf-8")
        (tmp_path / "docs" / name).write_text(text if name.endswith(".py") else "# Plan\n")
    broken = ("nowhere.md", "plan.md#nowhere", "../nowhere")
    links = "\n\n".join(f"[x]({link})" for link in broken)
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{links}\n")
    config = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert done.stderr.count("WARNING") == len(broken), done.stderr
    for said in ("nowhere.md", "plan.md#nowhere", "project/nowhere"):
        assert f"'{said}'" in done.stderr


def test_a_heading_keeps_what_stands_in_braces(site: Path) -> None:
    text = (site / "scenario.html").read_text("utf-8")
    assert 'id="objective-metric-weight"' in text
    assert "objective: {metric: weight}" in text
