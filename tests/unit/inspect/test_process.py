"""An inspected process to its end: what it tells, what it reports, and its silence."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from harness.errors import BackendError, DeadlineError
from harness.inspect.process import WORK_S, InspectedProcess, Message
from harness.inspect.worker import MODULE
from harness.scenario.spec.load import Measurement


def opened(folder: Path, task: dict[str, object]) -> InspectedProcess:
    log = folder / "logs" / "it.log"
    return InspectedProcess("the inspected process", MODULE, task, log, sys.executable, {})


def limits(**written: str) -> Measurement:
    return Measurement.model_validate(written)


def test_what_raises_there_is_raised_here(tmp_path: Path) -> None:
    task: dict[str, object] = {"backend": {"kind": "none such"}, "folder": "x"}
    with (
        opened(tmp_path, task) as child,
        pytest.raises(BackendError, match="none such"),
    ):
        list(child.messages(Measurement()))
    assert "Traceback" in (tmp_path / "logs" / "it.log").read_text()
    assert (tmp_path / "logs" / "it.task.json").is_file()


def test_one_that_says_nothing_is_killed(tmp_path: Path) -> None:
    with (
        opened(tmp_path, {}) as child,
        pytest.raises(DeadlineError, match=r"said nothing for 0\.01 s") as caught,
    ):
        list(child.messages(limits(load_timeout="10ms")))
    assert not child.alive
    assert caught.value.fix == "give it longer: measurement: {load_timeout: 0.02s}"


BUILDS = """
import json, os, sys, time
for step in ("build", "work"):
    os.write(int(sys.argv[3]), json.dumps({"event": "step", "step": step}).encode() + b"\\n")
    time.sleep(float(os.environ["STEP_S"]))
os.write(int(sys.argv[3]), b'{"event": "done"}\\n')
"""


def test_an_engine_is_built_within_its_own_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "builds.py").write_text(BUILDS)
    waits: list[float] = []
    line = InspectedProcess.line
    monkeypatch.setattr(
        InspectedProcess, "line", lambda self, s: (waits.append(s), line(self, s))[1]
    )

    def told(step_s: str, **written: str) -> list[Message]:
        env, log = {"PYTHONPATH": str(tmp_path), "STEP_S": step_s}, tmp_path / "it.log"
        with InspectedProcess("it", "builds", {}, log, sys.executable, env) as child:
            return list(child.messages(limits(**written)))

    assert told("0", load_timeout="20s", build_timeout="30s") == []
    assert waits == [20.0, 30.0, WORK_S]
    with pytest.raises(DeadlineError, match=r"nothing for 0\.3 s") as caught:
        told("60", load_timeout="30s", build_timeout="0.3s")
    assert caught.value.fix == "give it longer: measurement: {build_timeout: 0.6s}"
