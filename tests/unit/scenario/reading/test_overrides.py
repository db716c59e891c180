"""Overrides reach every part of a scenario and leave the rest as it is."""

from __future__ import annotations

import pytest

from harness.errors import ScenarioError
from harness.scenario.reading.loader import load_text
from harness.scenario.reading.overrides import apply
from harness.scenario.reading.tree import parse

TEXT = """\
scenario: s
model: {name: n, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - {kind: torch}
  - {kind: onnxruntime, name: ort}
load: {batch_sizes: 4}
"""


def test_a_list_a_word_and_a_section_that_is_not_there() -> None:
    sets = ["load.concurrency=[1,2]", "backends[0].precision=bf16", "measurement.profile=quick"]
    scenario = load_text(TEXT, sets=sets)
    assert scenario.load.concurrency == (1, 2)
    assert scenario.backends[0].name == "torch-cpu-bf16"
    assert scenario.measurement.window == 2.0
    assert scenario.load.batch_sizes == (4,)


def test_backends_by_written_and_by_default_name() -> None:
    sets = ["backends[ort].threads=3", "backends[torch-cpu-fp32].threads=2"]
    backends = load_text(TEXT, sets=sets).backends
    assert [getattr(b, "threads", None) for b in backends] == [2, 3]


def test_the_last_override_wins() -> None:
    assert load_text(TEXT, sets=["scenario=a", "scenario=b"]).scenario == "b"


def test_a_whole_part_is_replaced() -> None:
    backends = load_text(TEXT, sets=["backends=[{kind: torch, name: only}]"]).backends
    assert [b.name for b in backends] == ["only"]


def test_one_value_counts_as_a_list_of_one() -> None:
    assert load_text(TEXT, sets=["load.batch_sizes[0]=8"]).load.batch_sizes == (8,)


def test_spaces_around_the_key_and_equals_signs_in_the_value() -> None:
    scenario = load_text(TEXT, sets=[" description = a=b"])
    assert scenario.description == "a=b"


def test_the_tree_that_was_given_stays_as_it_was() -> None:
    root, _ = parse(TEXT, "f")
    assert root is not None
    before = root.data()
    changed, faults = apply(root, ["backends[0].threads=2", "load=~"])
    assert faults == []
    assert root.data() == before
    assert changed.data()["backends"][0] == {"kind": "torch", "threads": 2}


def test_places_in_an_override_count_from_its_start() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(TEXT, "f", sets=["scenario=fine", "load={concurrency: [1, x],\n bacth_sizes: 1}"])
    assert [str(p) for p in caught.value.problems] == [
        "--set:2:24: load.concurrency[1]: expected a whole number, found the text 'x'",
        "--set:2:29: load.bacth_sizes: unknown key; did you mean 'batch_sizes'?",
    ]
