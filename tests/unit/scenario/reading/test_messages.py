"""Every error that the models can give has words of its own."""

from __future__ import annotations

import json
import re

import pytest
from pydantic import ValidationError

from harness.errors import ScenarioError
from harness.scenario.reading import messages
from harness.scenario.reading.loader import load_text
from harness.scenario.reading.messages import UNKNOWN, describe, explain
from harness.scenario.spec.scenario import Scenario
from harness.scenario.spec.server import Server


def patterns() -> set[str]:
    text = json.dumps(Scenario.model_json_schema())
    return {json.loads(p) for p in re.findall(r'"pattern": ("(?:[^"\\]|\\.)*")', text)}


def test_every_pattern_has_words() -> None:
    checked = [p for p in patterns() if "MiB" not in p and "ms" not in p]  # units speak themselves
    assert len(checked) >= 5
    without = [p for p in checked if not any(part in p for part in messages._PATTERNS)]
    assert without == []


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "nothing"), (True, "true"), (3, "3"), (1.5, "1.5"), ("a b", "the text 'a b'"),
     ([], "a list"), ({}, "a mapping"), ("x" * 99, "the text '" + "x" * 39 + "…'")],
)  # fmt: skip
def test_what_was_found(value: object, words: str) -> None:
    assert describe(value) == words


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [("url", "h:65535", "h:65536"), ("url", "[::1]:1", "[::1]:0"), ("url", "h:8000", "h:99999"),
     ("metrics_url", "http://h:9/metrics", "http://h:70000/metrics")],
)  # fmt: skip
def test_a_port_that_no_machine_has_is_said_in_words(key: str, good: str, bad: str) -> None:
    Server.model_validate({"url": "h:1", key: good})
    with pytest.raises(ValidationError) as caught:
        Server.model_validate({"url": "h:1", key: bad})
    (error,) = caught.value.errors()
    assert explain(error).message.endswith(f"with a port up to 65535, found the text '{bad}'")


def test_an_error_without_words_is_still_said_at_its_place() -> None:
    error = {"type": "new_in_pydantic", "loc": ("load", "batch_sizes"), "input": 1, "ctx": {}}
    words = explain(error)
    assert (words.path, words.message) == (("load", "batch_sizes"), UNKNOWN)


def test_all_errors_of_one_validation_are_explained() -> None:
    with pytest.raises(ValidationError) as caught:
        Scenario.model_validate(
            {"scenario": 1, "model": [], "backends": [{"kind": "x"}, 2, {"kind": "fake"}], "y": 0}
        )
    paths = [explain(e).path for e in caught.value.errors()]
    assert paths == [("scenario",), ("model",), ("backends", 0, "kind"), ("backends", 1), ("y",)]


def test_a_scenario_of_every_kind_of_backend_is_fine() -> None:
    text = """\
scenario: s
model: {name: n, source: {torch: package.module:make}, inputs: {name: x, shape: [batch, 4]}}
backends:
  - {kind: torch}
  - {kind: onnxruntime, provider: CUDAExecutionProvider, device: 'cuda:1', precision: tf32}
  - {kind: tensorrt, precision: fp16, workspace: 4GiB}
  - {kind: triton, protocol: grpc, serve: torch, instances: 2, dynamic_batching: true}
"""
    assert len(load_text(text).backends) == 4


def test_a_key_of_an_inner_part_is_sent_there_before_anything_like_it() -> None:
    """`headers` looks like `threads`, and belongs to the server."""
    text = (
        "scenario: s\nmodel: {name: m, source: {onnx: m.onnx}}\nload: {batch_sizes: [1]}\n"
        "backends: [{kind: triton, protocol: http, headers: {A: b}}]\n"
    )
    with pytest.raises(ScenarioError, match=r"headers: unknown key; it belongs in server"):
        load_text(text)
