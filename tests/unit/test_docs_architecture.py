"""docs/architecture.md against the code: the picture of the folders, what it names, the journal."""

from __future__ import annotations

import re
import tomllib

import pytest
from support.paths import ROOT

from harness.results.events import JOURNAL_LINES

PAGE = (ROOT / "docs/architecture.md").read_text("utf-8")
LAYERS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
NAMED = sorted(set(re.findall(r"`(?:harness/)?([a-z_]+/[\w/]*\.py)(?::(\w+))?`", PAGE)))
"""File below harness/ and, where it is named, what stands in it."""


def test_the_picture_has_every_layer_in_the_contract_s_order() -> None:
    (picture,) = re.findall(r"^```\n(cli .*?)^```$", PAGE, re.M | re.S)
    left = "\n".join(line[:33] for line in picture.splitlines())  # beyond it stand words
    layers = [re.split(r" [|:] ", layer) for layer in LAYERS["contracts"][0]["layers"]]
    drawn = re.findall(r"[a-z]+", left)
    assert set(drawn) == {name for layer in layers for name in layer}
    assert len(drawn) == len(set(drawn))
    place = {name: n for n, layer in enumerate(layers) for name in layer}
    assert [place[name] for name in drawn] == sorted(place[name] for name in drawn)


def test_something_is_named() -> None:
    assert len(NAMED) > 30 and any(name for _, name in NAMED)


@pytest.mark.parametrize(("file", "name"), NAMED)
def test_what_is_named_is_there(file: str, name: str) -> None:
    text = (ROOT / "harness" / file).read_text("utf-8")
    assert not name or re.search(rf"^ *(?:class|def) {name}\b|^{name}\b", text, re.M)


def test_every_line_of_the_journal_has_its_row() -> None:
    table = PAGE.partition("| line | meaning |")[2]
    rows = re.findall(r"^\|(.*?)\|", table.partition("\n\n")[0], re.M)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(JOURNAL_LINES)
