"""Commands of the worker, on the fake backend."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.backends.fake import FakeBackend
from harness.backends.registry import parse_spec
from harness.errors import BackendError, DeviceError
from harness.load.plan import LoadPlan, WindowSettings
from harness.models.tensors import PreparedModel, Signature, TensorSpec
from harness.results.events import Progress
from harness.results.samples import Samples
from harness.run.worker import messages
from harness.run.worker import worker as module
from harness.run.worker.worker import Worker, failed

MODEL = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())
LOAD = messages.LoadBackend(
    parse_spec({"kind": "fake", "name": "f", "service_time_ms": 0.1}), MODEL, 1
)
SETTINGS = WindowSettings(0.0, 1, 0.01, 1, 0.1, 5.0)


@pytest.fixture
def worker() -> Worker:
    made = Worker(lambda _: None)
    made.handle(LOAD)
    return made


def test_caches_of_earlier_points_are_released_before_the_inputs_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for name in ("release", "prepare", "caller"):
        real = getattr(FakeBackend, name)

        def noted(self: Any, *args: Any, name: str = name, real: Any = real) -> Any:
            calls.append(name)
            return real(self, *args)

        monkeypatch.setattr(FakeBackend, name, noted)
    worker = Worker(lambda _: None)
    worker.handle(LOAD)
    calls.clear()
    command = messages.MeasurePoint(LoadPlan(1), SETTINGS, 2, 2, tmp_path / "s.npz")
    answer = worker.handle(command)
    assert isinstance(answer, messages.PointMeasured)
    assert calls[:4] == ["release", "prepare", "prepare", "caller"]
    assert answer.input_bytes == 2 * 3 * 4
    assert len(Samples.load(tmp_path / "s.npz")) >= 1


def test_loading_makes_the_first_call_and_says_when_each_stage_ended() -> None:
    answer = Worker(lambda _: None).handle(LOAD)
    assert isinstance(answer, messages.BackendLoaded)
    assert list(answer.stages_ns) == ["baseline", "weights", "warm"]
    assert sorted(answer.stages_ns.values()) == list(answer.stages_ns.values())
    assert answer.first_call_ms > 0
    assert answer.details["service_time_ms"] == 0.1


def test_a_load_goes_on_between_two_commands(worker: Worker, tmp_path: Path) -> None:
    stop = messages.StopLoad(tmp_path / "s.npz")
    for _ in range(2):
        started = worker.handle(messages.StartLoad(LoadPlan(2), 1, 2, 5.0))
        assert started == messages.LoadStarted()
        running = worker._running
        assert running is not None
        while running.generator.completed() < 10:
            pass
        answer = worker.handle(stop)
        assert isinstance(answer, messages.PointMeasured)
        assert answer.messages == {}
        assert answer.outputs_checked == 1
        assert answer.outputs_wrong == ()
        samples = Samples.load(tmp_path / "s.npz")
        inside = (samples.done > answer.window.begin_ns) & (samples.done <= answer.window.end_ns)
        assert 10 <= np.count_nonzero(inside) <= len(samples)
        assert answer.window.cpu_seconds > 0
    with pytest.raises(BackendError, match="no load is running"):
        worker.handle(stop)


def test_a_load_whose_counters_can_not_be_read_does_not_go_on(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any) -> dict[str, float]:
        raise DeviceError("the counters are gone")

    monkeypatch.setattr(FakeBackend, "statistics", broken)
    before = {*threading.enumerate()}  # of which some of other tests may end meanwhile
    with pytest.raises(DeviceError):
        worker.handle(messages.StartLoad(LoadPlan(2), 1, 1, 5.0))
    assert not {*threading.enumerate()} - before
    assert worker._running is None


def test_without_a_backend_nothing_can_be_measured(worker: Worker, tmp_path: Path) -> None:
    assert worker.handle(messages.UnloadBackend()) == messages.BackendUnloaded()
    with pytest.raises(BackendError, match="no backend is loaded"):
        worker.handle(messages.StartLoad(LoadPlan(1), 1, 1, 5.0))
    assert worker.handle(messages.UnloadBackend()) == messages.BackendUnloaded()
    worker.handle(LOAD)  # and another one can be loaded
    assert worker.handle(messages.CloseWorker()) == messages.WorkerClosed()


def test_inputs_that_only_the_loaded_backend_knows_are_taken_from_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of an engine: the model itself says nothing of its inputs."""
    known = Signature(MODEL.inputs, ())
    monkeypatch.setattr(FakeBackend, "signature", known)
    worker = Worker(lambda _: None)
    worker.handle(replace(LOAD, model=replace(MODEL, inputs=())))
    command = messages.MeasurePoint(LoadPlan(1), SETTINGS, 2, 1, tmp_path / "s.npz")
    answer = worker.handle(command)
    assert isinstance(answer, messages.PointMeasured)
    assert answer.input_bytes == 24
    assert (answer.outputs_checked, answer.outputs_wrong) == (1, ())


@pytest.mark.parametrize(
    ("error", "reason", "words"),
    [
        (MemoryError(), "out_of_memory", "out of host memory"),
        (
            ModuleNotFoundError("no", name="onnx"),
            "missing_package",
            "the Python package that provides 'onnx' is not installed",
        ),
        (DeviceError("no GPU", fix="buy one"), "device", "no GPU"),
        (ValueError("odd"), "raised", "ValueError: odd"),
    ],
)
def test_what_a_command_raised_is_said_by_its_reason(
    error: BaseException, reason: str, words: str
) -> None:
    answer = failed(error)
    assert (answer.reason, answer.message) == (reason, words)


def test_it_answers_line_by_line_and_goes_on_after_what_it_does_not_know(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop itself, on pipes; only the end of the process is left out."""
    monkeypatch.setattr(module.os, "_exit", lambda _: None)
    incoming, ours_out = os.pipe()
    ours_in, outgoing = os.pipe()
    lines = (b"rubbish\n", messages.command_line(LOAD),
             messages.command_line(messages.CloseWorker()), b"never read\n")  # fmt: skip
    os.write(ours_out, b"".join(lines))
    module.serve(incoming, outgoing)
    with os.fdopen(ours_in, "rb") as answers:
        found = [messages.read_answer(line) for line in answers]
    os.close(ours_out)
    assert [answer.EVENT for answer in found] == ["error", "loaded", "closed"]
    assert isinstance(found[0], messages.CommandFailed)
    assert "rubbish" in found[0].message


def test_a_window_tells_p99_when_there_are_enough_requests_for_it() -> None:
    told: list[object] = []
    worker = Worker(told.append)
    for count in (0, 90, 661, 662):
        worker._progress("window", count, 1.0, np.full(count, 5_000_000))
    assert [p.p99_ms for p in told if isinstance(p, Progress)] == [None, None, None, 5.0]
