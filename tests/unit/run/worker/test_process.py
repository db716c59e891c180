"""The parent's end: answers, deadlines, and how a worker ended."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.backends.registry import parse_spec
from harness.errors import (
    DeadlineError,
    DeviceError,
    MessageError,
    ServerDiedError,
    WorkerDiedError,
)
from harness.models.tensors import PreparedModel
from harness.results.events import Progress
from harness.run.worker import messages
from harness.run.worker.process import WorkerProcess


class Guarded:
    """A process that is there until it is killed."""

    pid, status = 7, None

    def __init__(self) -> None:
        self.killed = 0

    def poll(self) -> int | None:
        return self.status

    def wait(self, timeout: float) -> int:
        assert self.status is not None
        return self.status

    def kill(self) -> int:
        self.killed += 1
        return -signal.SIGKILL


class Ends:
    """A `WorkerProcess` whose other ends are here."""

    def __init__(self, log: Path) -> None:
        self.commands, requests = os.pipe()
        answers, self.answers = os.pipe()
        self.guarded = Guarded()
        self.log = log
        guarded: Any = self.guarded
        self.worker = WorkerProcess(guarded, requests, answers, log)

    def answer(self, *answers: Any) -> None:
        data = (a if isinstance(a, bytes) else messages.answer_line(a) for a in answers)
        os.write(self.answers, b"".join(data))

    def close(self) -> None:
        """As the system does when the process ends."""
        os.close(self.commands)
        os.close(self.answers)


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[Ends]:
    made = Ends(tmp_path / "log")
    yield made
    made.worker.kill()


def test_an_answer_comes_as_its_class_and_what_comes_before_is_told(ends: Ends) -> None:
    heard: list[Progress] = []
    ends.answer(Progress("window", 1, 0.5, None), messages.CeilingMeasured(9.5, 3))
    command = messages.MeasureCeiling(4)
    answer = ends.worker.ask(command, deadline=5, listener=heard.append)
    assert answer == messages.CeilingMeasured(9.5, 3)
    assert heard == [Progress("window", 1, 0.5, None)]
    assert messages.read_command(os.read(ends.commands, 1 << 16)) == command
    assert ends.worker.alive


def test_an_answer_may_come_in_pieces(ends: Ends) -> None:
    line = messages.answer_line(messages.BackendUnloaded())
    ends.answer(line[:5])
    with pytest.raises(DeadlineError, match=r"no answer to 'unload' within 0\.01 s; worker killed"):
        ends.worker.ask(messages.UnloadBackend(), deadline=0.01)
    assert ends.guarded.killed == 1
    assert not ends.worker.alive


@pytest.mark.parametrize(
    "answer", [b"rubbish\n", b'{"event": "sung"}\n', messages.answer_line(messages.LoadStarted())]
)
def test_an_answer_that_is_none_ends_the_worker(ends: Ends, answer: bytes) -> None:
    ends.answer(answer)
    with pytest.raises(MessageError):
        ends.worker.ask(messages.UnloadBackend(), deadline=5)
    assert ends.guarded.killed == 1


def test_what_the_worker_reports_is_raised_and_it_can_be_asked_again(ends: Ends) -> None:
    ends.answer(messages.CommandFailed("device", "no GPU", "buy one"), messages.LoadStarted())
    with pytest.raises(DeviceError, match="no GPU"):
        ends.worker.ask(messages.UnloadBackend(), deadline=5)
    assert ends.worker.alive


def test_a_dead_server_explains_an_error_better(ends: Ends) -> None:
    def check() -> None:
        raise ServerDiedError("the Triton server was killed")

    ends.answer(messages.CommandFailed("raised", "connection refused"))
    with pytest.raises(ServerDiedError):
        ends.worker.ask(messages.UnloadBackend(), deadline=5, check=check)


def test_a_process_that_ended_is_said_with_its_last_words(ends: Ends) -> None:
    ends.guarded.status = -signal.SIGSEGV  # type: ignore[assignment]
    ends.log.write_text("Fatal: stack\nsegmentation fault\n")
    ends.close()
    with pytest.raises(WorkerDiedError, match="killed by SIGSEGV; its last words: segmentation"):
        ends.worker.ask(messages.UnloadBackend(), deadline=5)
    for _ in range(2):  # and so it is whenever it is asked again
        with pytest.raises(WorkerDiedError):
            ends.worker.ask(messages.UnloadBackend(), deadline=5)
    ends.worker.close()


def test_a_real_worker_loads_says_what_failed_and_is_killed(tmp_path: Path) -> None:
    worker = WorkerProcess.start(tmp_path / "log")
    try:
        spec = parse_spec({"kind": "fake", "name": "f", "service_time_ms": 0.1})
        model = PreparedModel("m", {"fake": {}}, "k", (), ())
        answer = worker.ask(messages.LoadBackend(spec, model, 1), deadline=120)
        assert answer.first_call_ms > 0
        with pytest.raises(Exception, match="no load is running"):
            worker.ask(messages.StopLoad(tmp_path / "s.npz"), deadline=120)
        worker.kill()
        with pytest.raises(WorkerDiedError, match="was ended before"):
            worker.ask(messages.UnloadBackend(), deadline=120)
    finally:
        worker.close()
    assert "no load is running" in (tmp_path / "log").read_text()
