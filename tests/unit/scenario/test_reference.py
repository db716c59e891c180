"""docs/scenario.md is what the models say."""

from __future__ import annotations

import re

from support.paths import ROOT

from harness.scenario.reference import documented, reference
from harness.scenario.spec.scenario import Scenario

PAGE = ROOT / "docs" / "scenario.md"


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


def test_every_model_that_has_keys_is_there() -> None:
    assert models_in(Scenario.model_json_schema()) - {"Scenario"} <= {
        m.__name__ for m in documented()
    }


def models_in(schema: dict[str, dict[str, dict[str, object]]]) -> set[str]:
    return {name for name, part in schema["$defs"].items() if part.get("properties")}
