"""Comparisons whose truth is known, for the outputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.compared import write_blocks

from harness.compare.comparing import within
from harness.compare.layers.matching import Profile, judge_layers
from harness.compare.result import Comparison
from harness.results.store import read_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Backends `a`, `same`, `slow` and `broken`, at two points."""
    return write_blocks(
        tmp_path_factory.mktemp("compared") / "run",
        {"a": 0.0, "same": 0.0, "slow": 0.1, "broken": 0.0}, places=("b1/c1", "b1/c2"),
        failed={"broken": "raised"}, settings={"slow": {"environment": "new"}},
        error={"a": 1e-6, "slow": 1e-6},
        manifest={"environments": {"new": {"version": "3.11.7", "python": "/x", "packages": {
            "onnxruntime": {"version": "1.23.2"}}}}},
    )  # fmt: skip


@pytest.fixture(scope="session")
def slower(run: Path) -> Comparison:
    return within(read_run(run), "a", "slow")


@pytest.fixture(scope="session")
def layered(slower: Comparison) -> Comparison:
    """With layers, one of which is slower and has moved."""
    conv, relu = ("con|v", "Conv", "[[1]]"), ("relu", "Relu", "[[1]]")
    blocks = [
        (Profile(100.0 + n, {conv: 50.0 + n, relu: 10.0}, {conv: "CPU", relu: "CPU"}),
         Profile(190.0 + n, {conv: 140.0 + n, relu: 10.0}, {conv: "CUDA", relu: "CPU"}))
        for n in range(4)
    ]  # fmt: skip
    return replace(slower, layers=judge_layers(blocks))


@pytest.fixture(scope="session")
def same(run: Path) -> Comparison:
    return within(read_run(run), "a", "same")


@pytest.fixture(scope="session")
def broken(run: Path) -> Comparison:
    return within(read_run(run), "a", "broken")


@pytest.fixture(scope="session")
def evil(slower: Comparison) -> Comparison:
    """One whose texts try to break out of every format."""
    text = "</testcase><script>alert(1)</script>|`*_\x00]]>&"
    return replace(
        slower, candidate=replace(slower.candidate, name=text), forced=(text,),
        changed={text: (text, "")}, drift=text,
    )  # fmt: skip


@pytest.fixture(scope="session")
def open_(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three blocks, which decide nothing."""
    path = write_blocks(
        tmp_path_factory.mktemp("compared") / "open", {"a": 0.0, "b": 0.1}, rounds=3
    )
    return within(read_run(path), "a", "b")
