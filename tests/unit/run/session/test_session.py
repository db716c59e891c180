"""A session of the fake backend: real workers' code in this process, order and ends as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.inline_worker import InlineWorker

from harness.errors import ServerDiedError, WorkerDiedError
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.samples import Samples
from harness.run.session.session import Session
from harness.run.session.shared import Shared
from harness.run.worker import messages
from harness.scenario.points import Point
from harness.scenario.spec.scenario import Scenario

MODEL = PreparedModel("m", {"fake": {}}, "k", (TensorSpec("x", "float32", ("batch", 3)),), ())
PREPARED = messages.ModelPrepared(MODEL, Path(), ())
POINT = Point("f", "default", 2, concurrency=1)
FAKE = {"kind": "fake", "name": "f", "service_time_ms": 0.1}
OTHER = {"model": {"source": {"onnx": "x.onnx"}}, "load": {"concurrency": 1}}
TRITON = {
    "kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime",
    "colocated": ({**OTHER, "name": "back"}, {**OTHER, "name": "last"}),
}  # fmt: skip


def scenario(source: dict[str, Any], backend: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": source}, "backends": (backend,),
        "load": {"batch_sizes": (1, 2), "concurrency": (1,)},
        "measurement": {"warmup": "1ms", "warmup_requests": 1, "window": "10ms",
                        "window_requests": 1, "window_max": "100ms", "request_timeout": "5s"},
    })  # fmt: skip


class Telemetry:
    """Remembers what it was told to watch."""

    def __init__(self) -> None:
        self.watched: list[list[int]] = []

    def watch(self, pids: list[int], *_: Any, **__: Any) -> None:
        self.watched.append(list(pids))


def session_of(tmp_path: Path, shared: Any, found: Scenario | None = None) -> Session:
    found = found or scenario({"fake": {}}, FAKE)
    telemetry: Any = Telemetry()
    prepared = dict.fromkeys(("", "t/back", "t/last"), PREPARED)
    return Session(
        found, found.backends[0], prepared, base=tmp_path, logs=tmp_path / "run" / "logs",
        stem="r0-x", cache=tmp_path, telemetry=telemetry, shared=shared,
    )  # fmt: skip


def shared_workers(*names: str) -> Any:
    shared: Any = Shared("r0-shared")
    shared.workers = {name: InlineWorker() for name in names or ("",)}
    return shared


def test_it_is_opened_measured_and_given_back_with_its_worker(tmp_path: Path) -> None:
    shared = shared_workers()
    worker = shared.workers[""]
    with session_of(tmp_path, shared) as session:
        assert not session.alive
        session.open(1, lambda _: None)
        assert session.alive
        assert not session.remote
        (answer,) = session.measure(POINT, 0, {"": tmp_path / "s.npz"}, lambda _: None)
    assert answer.window.end_ns > answer.window.begin_ns
    assert len(Samples.load(tmp_path / "s.npz"))
    assert [c.DO for c in worker.commands] == ["load", "measure", "unload"]
    assert worker.alive
    assert session.log == tmp_path / "run/logs/r0-shared.log"
    assert session.watch._telemetry.watched == [[InlineWorker.pid]]  # type: ignore[attr-defined]


def test_after_a_fault_nothing_is_given_back(tmp_path: Path) -> None:
    shared = shared_workers()
    worker = shared.workers[""]
    with pytest.raises(KeyboardInterrupt), session_of(tmp_path, shared) as session:
        session.open(1, lambda _: None)
        raise KeyboardInterrupt
    assert shared.workers == {}
    assert not worker.alive


class Loads(InlineWorker):
    """A co-located model's worker that notes what happens to its load, and may fail."""

    def __init__(self, log: list[str], name: str, fails: str = "") -> None:
        super().__init__()
        self.log, self.name, self.fails = log, name, fails

    def ask(self, command: Any, **_: Any) -> Any:
        self.log.append(f"{command.DO} {self.name}".strip())
        if self.fails == command.DO:
            raise WorkerDiedError(f"{self.name} is gone")
        if isinstance(command, messages.StartLoad):
            return messages.LoadStarted()
        return messages.PointMeasured(None, {}, 1, (), 4)  # type: ignore[arg-type]


def measured_together(tmp_path: Path, fails: dict[str, str]) -> tuple[list[str], Any]:
    """What the workers of a measured and two co-located models were told for one point."""
    session = session_of(tmp_path, None, scenario({"onnx": "m.onnx"}, TRITON))
    log: list[str] = []
    for model in session.models:
        model.worker = Loads(log, model.name, fails.get(model.name, ""))  # type: ignore[assignment]
    files = {model.name: tmp_path / (model.name or "m") for model in session.models}
    try:
        return log, session.measure(POINT, 0, files, lambda _: None)
    except WorkerDiedError as error:
        return log, error


def test_loads_of_co_located_models_begin_before_the_measurement_and_end_after_it(
    tmp_path: Path,
) -> None:
    log, answers = measured_together(tmp_path, {})
    assert log == ["start back", "start last", "measure", "stop back", "stop last"]
    assert [type(a).EVENT for a in answers] == ["measured"] * 3


@pytest.mark.parametrize(
    ("fails", "told"),
    [
        ({"": "measure"}, ["start back", "start last", "measure", "stop back", "stop last"]),
        ({"last": "start"}, ["start back", "start last", "stop back", "stop last"]),
        ({"back": "stop"}, ["start back", "start last", "measure", "stop back", "stop last"]),
    ],
)
def test_every_load_that_began_ends_whatever_fails(
    tmp_path: Path, fails: dict[str, str], told: list[str]
) -> None:
    log, error = measured_together(tmp_path, fails)
    assert log == told
    assert str(error) == f"{next(iter(fails))} is gone"


def test_a_dead_server_is_the_reason_and_ends_the_measured_models_worker(tmp_path: Path) -> None:
    class Server:
        def alive(self) -> bool:
            return False

        def exit_reason(self) -> str:
            return "was killed by signal 9 (SIGKILL)"

    session = session_of(tmp_path, shared_workers())
    session.measured.worker = worker = InlineWorker()  # type: ignore[assignment]
    session._check_server()  # there is none of ours
    session._server = Server()  # type: ignore[assignment]
    with pytest.raises(ServerDiedError, match="the Triton server was killed by signal 9"):
        session._check_server()
    assert not worker.alive
    assert not session.alive


def test_co_located_models_are_backends_of_their_own_with_a_worker_log_each(
    tmp_path: Path,
) -> None:
    session = session_of(tmp_path, None, scenario({"onnx": "m.onnx"}, TRITON))
    assert [m.name for m in session.models] == ["", "back", "last"]
    assert [m.label for m in session.models] == ["t", "t+back", "t+last"]
    assert [m.spec.name for m in session.models] == ["t", "back", "last"]
    assert [m.batch_sizes for m in session.models] == [(1, 2), (1,), (1,)]
    assert session.remote
