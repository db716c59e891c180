"""Whatever is done to a scenario, the loader answers with a scenario or with positions."""

from __future__ import annotations

import copy
import json
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from harness.errors import ScenarioError, UsageError
from harness.scenario.reading import messages
from harness.scenario.reading.loader import load, load_text
from harness.scenario.spec.scenario import Scenario

SCENARIOS = ROOT / "scenarios"
GOOD = (SCENARIOS / "quickstart.yaml").read_text("utf-8") + "constraints: {errors: {max: 0}}\n"
TEXTS = [GOOD, *(path.read_text("utf-8") for path in sorted(SCENARIOS.glob("*.yaml")))]
SLOWEST = 2.0
"""Seconds of processor time that reading any text may take."""
NASTY = st.sampled_from(
    ["", "null", "-1", "0", "1e999", ".nan", "-.inf", "true", "yes", "'1'", "[]", "{}", "[[1]]",
     "{a: b}", "*x", "&x y", "!!set {a}", "!t", "<<", "<<: 1", "? [1]", "0x10", "0o7", "1_0", "é",
     "\t", "\0", "\x85", "\ufeff", "|", ">", "- ", ": ", "#", "'", '"', "---", "...", "%YAML 1.1",
     "9" * 5000, "2024-01-01", "3s", "batch", "@", "`", "\ud800", "[", "}", "\\", "kind: triton"]
)  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["torch", "triton", "fake", "batch", "fp16", "2s", "cuda", "http", "x.onnx"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["kind", "name", "onnx", "min", "files", "x"]), inner)
    ),
    max_leaves=5,
)
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def attempt(text: str, sets: tuple[str, ...] = ()) -> None:
    began = time.process_time()
    try:
        scenario = load_text(text, "f.yaml", SCENARIOS, sets)
    except ScenarioError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.file in ("f.yaml", "--set")
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.line <= max(len(text.split("\n")), len(sets)) + 1
            assert messages.UNKNOWN not in problem.message
            assert "(mistake)" not in problem.message
    else:
        assert Scenario.model_validate(scenario.model_dump(mode="json")) == scenario
        json.dumps(scenario.model_dump(mode="json"), allow_nan=False)
    finally:
        assert time.process_time() - began < SLOWEST


@QUICK
@given(st.data())
def test_mutated_text(data: st.DataObject) -> None:
    lines = data.draw(st.sampled_from(TEXTS)).splitlines(keepends=True)
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(lines) - 1))
        action = data.draw(st.sampled_from(["insert", "delete", "double", "cut", "value", "swap"]))
        line = lines[row]
        column = data.draw(st.integers(0, len(line)))
        if action == "insert":
            lines[row] = line[:column] + data.draw(NASTY) + line[column:]
        elif action == "delete":
            lines[row] = ""
        elif action == "double":
            lines.insert(row, line)
        elif action == "cut":
            lines[row] = line[:column]
        elif action == "value" and ":" in line:
            lines[row] = line[: line.index(":") + 1] + " " + data.draw(NASTY) + "\n"
        else:
            lines[row], lines[0] = lines[0], line
    attempt("".join(lines))


WORDS = st.sampled_from(
    ["scenario", "model", "backends", "load", "measurement", "search", "kind", "name", "source",
     "inputs", "shape", "batch", "torch", "triton", "fake", "concurrency", "request_rate", "x-a"]
)  # fmt: skip
YAML = st.recursive(
    NASTY | WORDS | st.integers().map(str),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6).map(lambda found: f"[{', '.join(found)}]"),
        st.lists(st.tuples(WORDS, inner), max_size=6).map(
            lambda found: "{" + ", ".join(f"{k}: {v}" for k, v in found) + "}"
        ),
        st.lists(st.tuples(WORDS, inner), max_size=6).map(
            lambda found: "".join(f"\n{k}: {v}" for k, v in found).replace("\n", "\n  ")
        ),
    ),
    max_leaves=40,
)


@QUICK
@given(st.lists(st.tuples(WORDS, YAML), max_size=8))
def test_random_yaml(found: list[tuple[str, str]]) -> None:
    attempt("".join(f"{key}: {value}\n" for key, value in found))


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(
        value, list) else []  # fmt: skip
    return [path, *(p for key, item in inner for p in paths(item, (*path, key)))]


BASES = [json.loads(load(f).scenario.model_dump_json()) for f in sorted(SCENARIOS.glob("*.yaml"))]


@QUICK
@given(st.data())
def test_mutated_values(data: st.DataObject) -> None:
    tree = copy.deepcopy(data.draw(st.sampled_from(BASES)))
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from([p for p in paths(tree) if p]))
        holder = tree
        for step in path[:-1]:
            holder = holder[step]
        holder[path[-1]] = data.draw(VALUES)
    attempt(json.dumps(tree, ensure_ascii=False))


@QUICK
@given(
    st.sampled_from(["load", "backends", "model.source", "measurement", "x", "model.inputs"])
    | st.text(max_size=10),
    st.sampled_from(["", "[0]", "[9]", ".kind", ".rounds", "[a]", "..", "[", "[0][0]", ".a.b"]),
    NASTY | VALUES.map(json.dumps),
)
def test_overrides(key: str, rest: str, value: str) -> None:
    attempt(GOOD, (f"{key}{rest}={value}", "measurement.rounds=2"))


@QUICK
@given(st.binary(max_size=60), st.integers(0, len(GOOD)))
def test_bytes(tmp_path_factory: pytest.TempPathFactory, noise: bytes, position: int) -> None:
    file = tmp_path_factory.mktemp("fuzz") / "f.yaml"
    file.write_bytes(GOOD[:position].encode() + noise + GOOD[position:].encode())
    try:
        load(file)
    except UsageError as error:
        assert str(error)
