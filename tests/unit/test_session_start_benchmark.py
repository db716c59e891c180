"""benchmarks/session_start.py: sessions of several calls together, and the page of them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.paths import ROOT


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    yield importlib.import_module("session_start")
    del sys.modules["session_start"]


def part(date: str, sessions: int, *, low: float = 1.0, beside: str = "") -> dict[str, Any]:
    """Rates of two backends, of which `b`'s first that counts is `low` of the others."""
    rates = {
        name: [[100.0 + i, 100.0 * share * (1.0 + (-1) ** i * i / 1000), 100.0, 100.0, 100.0]
               for i in range(1, sessions + 1)]
        for name, share in (("a", 1.0), ("b", low))
    }  # fmt: skip
    return {"command": f"c{date} --device cuda", "machine": "m", "date": date, "beside": beside,
            "rates": rates}  # fmt: skip


def test_the_sessions_of_several_calls_are_judged_together(script: Any, tmp_path: Path) -> None:
    files = [tmp_path / "one.json", tmp_path / "two.json"]
    one, two = part("1", 4), part("2", 9)
    for path, given in zip(files, (one, two), strict=True):
        path.write_text(json.dumps(script.result_of([given])))
    found = script.pooled(files)
    assert found["parts"] == [one, two]
    every = [row for given in (one, two) for row in given["rates"]["a"]]
    assert found["backends"]["a"] == script.judged(every)
    assert found["backends"]["a"]["discarded"]["of"] == 13
    assert found["backends"][script.BOTH][script.FIRST]["of"] == 26
    (again := tmp_path / "again.json").write_text(json.dumps(found))
    assert script.pooled([again]) == found  # what was pooled can be pooled again


def test_the_page_names_the_backends_whose_first_measurement_differs(script: Any) -> None:
    text = script.page(script.result_of([part("1", 12), part("2", 12, low=0.8, beside="busy.")]))
    assert "DIFFERS from the later ones of b (p " in text
    assert "; of a it is not shown to (p > 0.05)." in text
    assert text.count("| 1 |") == text.count("| 2 |") == 3  # each part alone
    assert "2: busy." in text
    assert "the test was made after each part" in text.lower()


def test_where_none_differs_the_page_says_so(script: Any) -> None:
    text = script.page(script.result_of([part("1", 12)]))
    assert "does not differ from the later ones (p > 0.05)." in text
    assert "alone" not in text


@pytest.mark.parametrize("name", ["session-start", "gpu-session-start"])
def test_the_pages_follow_from_their_records(script: Any, name: str) -> None:
    folder = ROOT / "docs" / "benchmarks"
    found = script.pooled([folder / f"{name}.json"])
    assert script.page(found) == (folder / f"{name}.md").read_text("utf-8")
