"""docs/import.md is what the tables say, and every key in them exists."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.paths import ROOT
from unit.test_docs_model_analyzer import exists

from harness.migrate import page
from harness.migrate.model_analyzer import TABLE as KEYS
from harness.migrate.model_analyzer import translate
from harness.migrate.perf_analyzer import TABLE
from harness.migrate.table import STATUSES, Row
from harness.scenario.reading.loader import load_text


def test_the_page_is_current() -> None:
    text = (ROOT / "docs" / "import.md").read_text("utf-8")
    assert page.START + text.partition(page.START)[2] == page.reference(), (
        "run: python -m harness.migrate.page docs/import.md"
    )


@pytest.mark.parametrize("row", [*TABLE.values(), *KEYS.values()], ids=lambda row: row.name)
def test_a_row_says_where_it_goes_or_why_not(row: Row[object]) -> None:
    assert row.status in STATUSES
    assert bool(row.here) == (row.status == "translated")
    assert row.note or row.here
    assert all(exists(key) for key in row.here.split(", ") if key)


def test_the_how_to_shows_what_its_example_becomes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "from-model-analyzer.md").read_text("utf-8")
    blocks = [text.partition(f"<!-- {name} -->\n```yaml\n")[2].partition("```")[0]
              for name in ("example", "made")]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models").mkdir()
    (draft,) = translate(blocks[0], "config.yaml", Path())
    assert draft.problems == []
    assert draft.text() == blocks[1]
    load_text(draft.text(), "scenario.yaml", tmp_path)
