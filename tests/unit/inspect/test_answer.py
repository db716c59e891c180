"""The inspected process's end."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.inspect.answer import Send, main


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a piece of work tells, and how the process ended."""
    (tmp_path / "t.json").write_text('{"n": 3}')
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    def run(work: Any) -> list[Any]:
        with (tmp_path / "out").open("wb") as file:
            main(work, [str(tmp_path / "t.json"), "-1", str(os.dup(file.fileno()))])
        assert ended == [0]
        return [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]

    return run


def test_its_answers_then_that_it_is_done(told: Any) -> None:
    def work(task: Mapping[str, Any], send: Send) -> None:
        send({"event": "got", "n": task["n"], "inf": float("inf")})

    assert told(work) == [{"event": "got", "n": 3, "inf": "inf"}, {"event": "done"}]


def test_what_raises_is_told_with_its_reason_and_its_fix(
    told: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(task: Mapping[str, Any], send: Send) -> None:
        raise UsageError("no such thing", fix="another")

    failed, done = told(work)
    assert (failed["event"], failed["message"], failed["fix"]) == (
        "failed",
        "no such thing",
        "another",
    )
    assert failed["reason"] == UsageError("").reason
    assert done == {"event": "done"}
    assert "UsageError" in capsys.readouterr().err
