"""docs/import.md is what the tables say, and every key in them exists."""

from __future__ import annotations

import pytest
from support.paths import ROOT
from unit.test_docs_model_analyzer import exists

from harness.migrate import page
from harness.migrate.perf_analyzer import TABLE
from harness.migrate.table import STATUSES, Row


def test_the_page_is_current() -> None:
    text = (ROOT / "docs" / "import.md").read_text("utf-8")
    assert page.START + text.partition(page.START)[2] == page.reference(), (
        "run: python -m harness.migrate.page docs/import.md"
    )


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_a_row_says_where_it_goes_or_why_not(row: Row[object]) -> None:
    assert row.status in STATUSES
    assert bool(row.here) == (row.status == "translated")
    assert row.note or row.here
    assert all(exists(key) for key in row.here.split(", ") if key)
