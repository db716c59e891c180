"""The parent's end: answers, deadlines, and how a worker ended."""

from __future__ import annotations

import base64
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from support.small_disk import mounted

from harness.backends.registry import parse_spec
from harness.errors import (
    BackendError,
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
from harness.scenario.spec.model import Parity

SCRIPTED = """
import base64, os, sys, time
asked, answers, script = int(sys.argv[1]), int(sys.argv[2]), os.environ["SCRIPT"]
for line in os.fdopen(asked, "rb"):
    os.write(answers, base64.b64decode(script))
"""


class Scripted(WorkerProcess):
    """A process that gives the same answer to every command."""

    MODULE = "scripted_worker"


@pytest.fixture
def answering(tmp_path: Path) -> Iterator[Callable[..., Scripted]]:
    """Starts workers that answer so."""
    started: list[Scripted] = []

    def start(*answers: Any, script: str = SCRIPTED) -> Scripted:
        (tmp_path / "scripted_worker.py").write_text(script)
        data = b"".join(a if isinstance(a, bytes) else messages.answer_line(a) for a in answers)
        env = {"PYTHONPATH": str(tmp_path), "SCRIPT": base64.b64encode(data).decode()}
        started.append(Scripted(tmp_path / "log", env=env))
        return started[-1]

    yield start
    for worker in started:
        worker.kill()


def test_an_answer_comes_as_its_class_and_what_comes_before_is_told(
    answering: Callable[..., Scripted],
) -> None:
    heard: list[Progress] = []
    worker = answering(Progress("window", 1, 0.5, None), messages.CeilingMeasured(9.5, 3))
    answer = worker.ask(messages.MeasureCeiling(4), deadline=60, listener=heard.append)
    assert answer == messages.CeilingMeasured(9.5, 3)
    assert heard == [Progress("window", 1, 0.5, None)]
    assert worker.alive


def test_who_is_too_late_is_told_the_key_of_what_it_was_at(
    answering: Callable[..., Scripted],
) -> None:
    worker = answering(Progress("build", 0, 0.0))

    def begin(_: Any) -> float:
        worker.limit = "build_timeout"
        return 0.1

    with pytest.raises(DeadlineError, match=r"within 0\.1 s") as caught:
        worker.ask(
            messages.CompareOutputs(Parity(), (1,), Path("r")), deadline=30.0, listener=begin
        )
    assert caught.value.fix == "give it longer: measurement: {build_timeout: 0.2s}"


def test_an_answer_that_does_not_end_is_none(answering: Callable[..., Scripted]) -> None:
    worker = answering(messages.answer_line(messages.BackendUnloaded())[:5])
    worker.log.write_text("waiting for a license\n")
    said = r"no answer to 'unload' within 0\.5 s; worker killed; its last words: waiting for a lic"
    with pytest.raises(DeadlineError, match=said):
        worker.ask(messages.UnloadBackend(), deadline=0.5)
    assert not worker.alive
    assert worker.process.poll() == -signal.SIGKILL


@pytest.mark.parametrize(
    "answer", [b"rubbish\n", b'{"event": "sung"}\n', messages.answer_line(messages.LoadStarted())]
)
def test_an_answer_that_is_none_ends_the_worker(
    answering: Callable[..., Scripted], answer: bytes
) -> None:
    worker = answering(answer)
    with pytest.raises(MessageError):
        worker.ask(messages.UnloadBackend(), deadline=60)
    assert not worker.alive


def test_what_the_worker_reports_is_raised_and_it_can_be_asked_again(
    answering: Callable[..., Scripted],
) -> None:
    worker = answering(messages.CommandFailed("device", "no GPU", "buy one"))
    for _ in range(2):
        with pytest.raises(DeviceError, match="no GPU"):
            worker.ask(messages.UnloadBackend(), deadline=60)
    assert worker.alive


def test_a_dead_server_explains_an_error_better(answering: Callable[..., Scripted]) -> None:
    def check() -> None:
        raise ServerDiedError("the Triton server was killed")

    worker = answering(messages.CommandFailed("raised", "connection refused"))
    with pytest.raises(ServerDiedError):
        worker.ask(messages.UnloadBackend(), deadline=60, check=check)


def test_a_process_that_ended_is_said_with_its_last_words(
    answering: Callable[..., Scripted],
) -> None:
    crash = "import os\nprint('Fatal\\nsegmentation fault', flush=True)\nos.kill(os.getpid(), 11)"
    worker = answering(script=crash)
    with pytest.raises(WorkerDiedError, match="killed by SIGSEGV; its last words: segmentation"):
        worker.ask(messages.UnloadBackend(), deadline=60)
    for _ in range(2):  # and that it is no more, whenever it is asked again
        with pytest.raises(WorkerDiedError, match="was ended before; its last words"):
            worker.ask(messages.UnloadBackend(), deadline=60)
    worker.close()


def test_a_stopped_worker_is_not_waited_for(answering: Callable[..., Scripted]) -> None:
    worker = answering(messages.BackendUnloaded())
    worker.ask(messages.UnloadBackend(), deadline=60)
    for process in psutil.Process(worker.pid).children():
        process.suspend()
    with pytest.raises(WorkerDiedError, match="the worker was stopped by a signal such as SIGSTOP"):
        worker.ask(messages.UnloadBackend(), deadline=600)
    assert worker.process.poll() == -signal.SIGKILL


def test_a_stopped_worker_has_a_deadline_for_what_it_does_not_read(
    answering: Callable[..., Scripted],
) -> None:
    worker = answering(messages.BackendUnloaded())
    worker.ask(messages.UnloadBackend(), deadline=60)
    for process in psutil.Process(worker.pid).children():
        process.send_signal(signal.SIGSTOP)
    with pytest.raises(DeadlineError, match=r"the worker read nothing for 0\.2 s"):
        worker.send(b"x" * 200_000, 0.2)
    worker.close(0.2)
    assert worker.process.poll() == -signal.SIGKILL


def test_a_real_worker_loads_says_what_failed_and_is_killed(tmp_path: Path) -> None:
    worker = WorkerProcess(tmp_path / "log")
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


def test_an_answer_comes_though_the_log_finds_no_room(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk, WorkerProcess(disk.path / "log") as worker:
        disk.fill()
        for _ in range(2):
            with pytest.raises(BackendError, match="no load is running"):
                worker.ask(messages.StopLoad(tmp_path / "x.npz"), deadline=60.0)
        worker.close()
