"""An inspected process to its end: what it tells, what it reports, and its silence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import BackendError, DeadlineError
from harness.inspect.process import InspectedProcess
from harness.inspect.worker import MODULE


def opened(folder: Path, task: dict[str, object]) -> InspectedProcess:
    log = folder / "logs" / "it.log"
    return InspectedProcess("the inspected process", MODULE, task, log, sys.executable, {})


def test_what_raises_there_is_raised_here(tmp_path: Path) -> None:
    task: dict[str, object] = {"backend": {"kind": "none such"}, "folder": "x"}
    with (
        opened(tmp_path, task) as child,
        pytest.raises(BackendError, match="none such"),
    ):
        list(child.messages(60))
    assert "Traceback" in (tmp_path / "logs" / "it.log").read_text()
    assert (tmp_path / "logs" / "it.task.json").is_file()


def test_one_that_says_nothing_is_killed(tmp_path: Path) -> None:
    with (
        opened(tmp_path, {}) as child,
        pytest.raises(DeadlineError, match="said nothing for 0"),
    ):
        list(child.messages(0.0))
    assert not child.alive
