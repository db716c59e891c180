"""docs/scenario.md is what the models say, and so is the JSON Schema: it takes every ready
scenario, and refuses what is plainly wrong.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.paths import ROOT

from harness.scenario.reading.tree import parse
from harness.scenario.spec.scenario import Scenario
from harness.validate.reference import DIALECT, documented, reference, scenario_schema

PAGE = ROOT / "docs" / "scenario.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text("utf-8").partition("\n## ")[2] == reference().partition("\n## ")[2], (
        "run: python -m harness.validate.reference docs/scenario.md"
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


SCENARIOS = sorted((ROOT / "scenarios").glob("*.yaml"))
SCHEMA = scenario_schema()
CHECK = Draft202012Validator(SCHEMA)


def data_of(file: Path) -> Any:
    root, faults = parse(file.read_text("utf-8"), file.name)
    assert root is not None
    assert not faults
    return root.data()


QUICKSTART = data_of(next(f for f in SCENARIOS if f.stem == "quickstart"))


def test_it_is_a_valid_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == DIALECT


@pytest.mark.parametrize("file", SCENARIOS, ids=lambda p: p.stem)
def test_ready_scenarios_are_accepted(file: Path) -> None:
    assert [e.message for e in CHECK.iter_errors(data_of(file))] == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("unknown",), 1),
        (("model", "unknown"), 1),
        (("model", "source", "unknown"), 1),
        (("model", "source"), {}),
        (("model", "source"), {"torch": "a:b", "onnx": "c"}),
        (("model", "inputs", 0, "unknown"), 1),
        (("model", "inputs", 0, "dtype"), "fp32"),
        (("backends", 0, "unknown"), 1),
        (("backends", 0, "provider"), "CPUExecutionProvider"),
        (("backends", 0, "kind"), "jax"),
        (("backends", 0, "precision"), "fp61"),
        (("backends",), []),
        (("load", "batch_sizes"), [0]),
        (("load", "concurrency"), "four"),
        (("measurement", "window"), 3),
        (("measurement", "window"), "3 weeks"),
        (("objective",), "speed"),
    ],
)
def test_mistakes_are_refused(path: tuple[Any, ...], value: Any) -> None:
    data = copy.deepcopy(QUICKSTART)
    holder = data
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    assert not CHECK.is_valid(data)


@pytest.mark.parametrize("section", ["model", "backends", "scenario"])
def test_required_keys(section: str) -> None:
    assert not CHECK.is_valid({k: v for k, v in QUICKSTART.items() if k != section})


def test_every_key_is_described() -> None:
    without = [
        f"{name}.{key}"
        for name, part in [("Scenario", SCHEMA), *SCHEMA["$defs"].items()]
        for key, spec in part.get("properties", {}).items()
        if "description" not in spec
    ]
    assert without == []
