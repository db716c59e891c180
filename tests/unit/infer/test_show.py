"""An answer as a page, as JSON and as a file."""

from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from harness.errors import UsageError
from harness.infer.classes import best
from harness.infer.send import Answer
from harness.infer.show import as_json, page, save

SCORES = np.array([[0.5, 2.0], [3.0, 1.0]], np.float32)
ANSWER = Answer(
    "net", "grpc://a:8001", "3", {"x": np.zeros((2, 4), np.float32)},
    {"y": SCORES, "words": np.array(["a\x1b[2J", "b"]), "z": np.array([np.nan, 1.0, np.inf])},
)  # fmt: skip


def shown(answer: Answer, *, labels: list[str]) -> str:
    console = Console(file=io.StringIO(), width=100)
    for part in page(answer, {"y": best(SCORES, 1, labels)}):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_page_has_classes_and_the_rest() -> None:
    text = shown(ANSWER, labels=["cat", "[red]dog"])
    assert "net by grpc://a:8001, version 3: x float32 [2, 4]" in text
    assert "y, item 0" in text
    assert "[red]dog" in text
    assert "2 not finite" in text
    assert "\x1b" not in text


def test_json_has_it_all() -> None:
    found = json.loads(as_json(ANSWER, {"y": best(SCORES, 1)}, Path("o.npz")))
    assert found["schema"] == "harness-infer/1"
    assert found["outputs"]["y"] == {
        "dtype": "float32", "shape": [2, 2], "min": 0.5, "max": 3.0, "not_finite": 0,
        "head": [0.5, 2.0, 3.0, 1.0],
    }  # fmt: skip
    assert found["outputs"]["z"]["not_finite"] == 2
    assert found["outputs"]["words"]["dtype"] == "string"
    assert [row[0]["index"] for row in found["top"]["y"]] == [1, 0]
    assert (found["written"], found["contradictions"]) == ("o.npz", [])


def test_outputs_are_written_once(tmp_path: Path) -> None:
    save(ANSWER, tmp_path / "o.npz")
    with np.load(tmp_path / "o.npz") as read:
        assert np.array_equal(read["y"], SCORES)
        assert sorted(read.files) == ["words", "y", "z"]
    with pytest.raises(UsageError, match="is there already"):
        save(ANSWER, tmp_path / "o.npz")
    with pytest.raises(UsageError, match="can't be written"):
        save(ANSWER, tmp_path / "no" / "o.npz")


def test_what_contradicts_the_server_is_said() -> None:
    wrong = dataclasses.replace(ANSWER, contradictions=("output 'y' is not in the answer\x1b[2J",))
    text = shown(wrong, labels=["a", "b"])
    assert "warning: output 'y' is not in the answer" in text
    assert "\x1b" not in text
