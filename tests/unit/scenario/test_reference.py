"""docs/scenario.md is what the models say."""

from __future__ import annotations

import re
from pathlib import Path

from harness.scenario.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "scenario.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8") == reference(), (
        "run: python -m harness.scenario.reference > docs/scenario.md"
    )


def test_links_lead_to_headings() -> None:
    text = reference()
    slugs = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^## (.*)$", text, re.MULTILINE)
    }
    links = set(re.findall(r"\]\(#([^)]*)\)", text))
    assert links
    assert links <= slugs
