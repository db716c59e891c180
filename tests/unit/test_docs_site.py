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
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(site)],
        cwd=tree, capture_output=True, text=True, check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_it_builds_without_a_warning_and_has_every_how_to(site: Path) -> None:
    index = (site / "index.html").read_text("utf-8")
    assert [name for name in HOW_TO if f'href="{name}.html"' not in index] == []


def test_what_lies_outside_of_the_pages_is_part_of_it(site: Path) -> None:
    assert 'href="project/index.html"' in (site / "index.html").read_text("utf-8")
    assert (site / "project/reports/sample/report.html").stat().st_size > 100_000
    assert (site / "project/scenarios/tutorial.yaml").exists()


@pytest.mark.slow
@pytest.mark.parametrize("broken", ["[x](nowhere.md)", "[x](plan.md#nowhere)", "[x](../nowhere)"])
def test_a_link_that_leads_nowhere_ends_the_build(tmp_path: Path, broken: str) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("site_hook.py", "plan.md"):
        text = (ROOT / "docs" / name).read_text("utf-8")
        (tmp_path / "docs" / name).write_text(text if name.endswith(".py") else "# Plan\n")
    (tmp_path / "docs" / "index.md").write_text(f"# Home\n\n{broken}\n")
    config = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[0]
    (tmp_path / "mkdocs.yml").write_text(config)
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
