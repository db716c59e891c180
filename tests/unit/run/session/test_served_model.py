"""One model of a session, called by a real worker in this process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.inline_worker import InlineWorker

from harness.backends.base import ServerAddress
from harness.backends.registry import parse_spec
from harness.errors import BackendError, CrashedError, WorkerDiedError
from harness.load.plan import LoadPlan, WindowSettings
from harness.models.reference import write_references
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.events import Progress
from harness.results.samples import Samples
from harness.run.session.served_model import Folders, ServedModel
from harness.run.worker import messages
from harness.scenario.spec.colocated import ColocatedModel
from harness.scenario.spec.load import Measurement
from harness.scenario.spec.model import Parity
from harness.triton.launch import Served
from harness.triton.repository.engine import write_loaded

X, Y = TensorSpec("x", "float32", ("batch", 3)), TensorSpec("y", "float32", ("batch", 1))
MODEL = PreparedModel("m", {"fake": {}}, "k", (X,), ())
FAKE = parse_spec({"kind": "fake", "name": "f", "service_time_ms": 0.1})
TRITON: Any = parse_spec({"kind": "triton", "protocol": "grpc", "name": "t"})
OTHER = ColocatedModel.model_validate({"name": "det", "load": {"concurrency": 1}})
MEASUREMENT = Measurement.model_validate({"request_timeout": "2s"})


def made(
    tmp_path: Path, spec: Any = FAKE, model: PreparedModel = MODEL, reference: Path = Path(),
    **more: Any,
) -> tuple[ServedModel, Any]:  # fmt: skip
    prepared = messages.ModelPrepared(model, reference, ())
    folders = Folders(tmp_path, tmp_path / "run" / "logs", tmp_path / "cache", "r0-f")
    served = ServedModel(
        spec, prepared, Parity(), (1, 4), MEASUREMENT, folders, lambda: None, **more
    )
    served.worker = worker = InlineWorker()  # type: ignore[assignment]
    return served, worker


def test_files_are_named_after_the_session(tmp_path: Path) -> None:
    folders = Folders(tmp_path, tmp_path / "run" / "logs", tmp_path, "r0-f-1")
    assert folders.log("-server") == tmp_path / "run/logs/r0-f-1-server.log"
    assert folders.repository == tmp_path / "run/triton/r0-f-1"


def test_it_is_loaded_measured_and_unloaded(tmp_path: Path) -> None:
    model, worker = made(tmp_path)
    loaded = model.load(4, lambda _: None)
    assert model.loaded is loaded
    assert (worker.commands[0].first_batch, worker.commands[0].batch_sizes) == (4, (1, 4))
    settings, file = WindowSettings(0.0, 1, 0.01, 1, 0.1, 2.0), tmp_path / "s.npz"
    heard: list[Any] = []
    measured = model.measure(4, settings, LoadPlan(1), file, heard.append)
    assert measured.window.end_ns > measured.window.begin_ns
    assert worker.commands[1].distinct_inputs == MEASUREMENT.distinct_inputs
    assert len(Samples.load(file))
    model.unload(None)
    with pytest.raises(BackendError, match="no backend is loaded"):
        model.start(1, LoadPlan(1))


def test_its_notes_are_the_servers_and_what_the_backend_found_at_its_first_call(
    tmp_path: Path,
) -> None:
    model, _ = made(tmp_path, colocated=OTHER)
    assert model.notes == []
    loaded = model.load(1, lambda _: None)
    assert model.notes == []
    model.loaded = replace(loaded, details={**loaded.details, "note": "under autocast"})
    model.served = Served("h", "g", "m", None, notes=("a size was left out",))
    assert model.notes == ["a size was left out", "under autocast"]


class Building(InlineWorker):
    """Says that it builds, and that it has built; `limits` are the seconds that it is given."""

    limit = ""

    def ask(self, command: Any, *, deadline: float, listener: Any = None, **_: Any) -> Any:
        self.limits = [(deadline, self.limit)]
        for step in ("build", "load"):
            self.limits.append((listener(Progress(step, 0, 0.0)), self.limit))
        return super().ask(command, deadline=deadline, listener=listener)


def test_an_engine_is_built_within_a_limit_of_its_own(tmp_path: Path) -> None:
    model, _ = made(tmp_path)
    model.measurement = Measurement.model_validate({"load_timeout": "7s", "build_timeout": "9m"})
    model.worker = worker = Building()  # type: ignore[assignment]
    model.load(1, lambda _: None)
    assert worker.limits == [(7, "load_timeout"), (540, "build_timeout"), (7, "load_timeout")]


class Ending(InlineWorker):
    """Ends as `words` say."""

    words = ""

    def ask(self, *_: Any, **__: Any) -> Any:
        raise WorkerDiedError(self.words)


SEGFAULT = (
    "the worker was killed by SIGSEGV; its last words: Fatal Python error: Segmentation fault"
)


@pytest.mark.parametrize(
    ("spec", "words", "crashed"),
    [(FAKE, SEGFAULT, True), (FAKE, "the worker was killed by SIGKILL", False),
     (TRITON, SEGFAULT, False)],
)  # fmt: skip
def test_a_runtime_that_ends_the_worker_is_named_with_its_file(
    tmp_path: Path, spec: Any, words: str, crashed: bool
) -> None:
    model, _ = made(tmp_path, spec)
    model.worker = worker = Ending()  # type: ignore[assignment]
    worker.words = words
    with pytest.raises(WorkerDiedError) as caught:
        model.load(1, lambda _: None)
    assert isinstance(caught.value, CrashedError) == crashed
    assert words in caught.value.message
    if crashed:
        assert caught.value.message.startswith("fake itself crashed while it loaded m: ")


def test_the_same_class_keeps_a_load_going(tmp_path: Path) -> None:
    model, worker = made(tmp_path, colocated=OTHER, label="t+det")
    model.load(1, lambda _: None)
    model.start(1, LoadPlan(1))
    stopped = model.stop(tmp_path / "s.npz")
    assert stopped.outputs_wrong == ()
    assert worker.commands[1].request_timeout == 2.0
    assert (model.name, model.label) == ("det", "t+det")


def test_outputs_are_compared_under_its_label(tmp_path: Path) -> None:
    folder = write_references(MODEL, Parity(), [1], tmp_path)
    model, _ = made(tmp_path, reference=folder, colocated=OTHER, label="t+det")
    model.load(1, lambda _: None)
    (row,) = model.compare([1], lambda _: None)
    assert (row.backend, row.batch_size, row.status) == ("t+det", 1, "unavailable")


class ServerWorker(InlineWorker):
    """Stands for the worker of a model on a server that is not there."""

    def ask(self, command: Any, **_: Any) -> Any:
        self.commands.append(command)
        if isinstance(command, messages.DescribeModel):
            return messages.ModelDescribed((X,), (Y,), 8, "name: 'm'")
        details = {"client": "wire", "sha256": "client's"}
        return messages.BackendLoaded(1.0, 2.0, None, {"warm": 1}, details)


def on_server(tmp_path: Path, model: PreparedModel, **served: Any) -> tuple[ServedModel, Any]:
    found, _ = made(tmp_path, TRITON, model, colocated=OTHER)
    found.served = Served(ServerAddress("h:1", "h:2", "m_i2", "h:3"), None, **served)
    found.worker = worker = ServerWorker()  # type: ignore[assignment]
    return found, worker


def test_the_worker_is_told_where_the_model_is_served(tmp_path: Path) -> None:
    model, worker = on_server(tmp_path, MODEL)
    model.load(1, lambda _: None)
    (load,) = worker.commands
    assert load.server == ServerAddress("h:1", "h:2", "m_i2", "h:3")
    assert load.model == MODEL


@pytest.mark.parametrize("inputs", [(), (TensorSpec("x", "float32", ("batch", 7)),)])
def test_a_model_that_lives_on_the_server_is_as_that_says_but_for_inputs_of_the_scenario(
    tmp_path: Path, inputs: tuple[TensorSpec, ...]
) -> None:
    there = PreparedModel("m", {"triton": "m"}, "k", inputs, ())
    model, worker = on_server(tmp_path, there)
    model.load(1, lambda _: None)
    described, load = worker.commands
    assert described.server.grpc == "h:2"
    assert load.model.inputs == (inputs or (X,))
    assert (load.model.outputs, load.model.max_batch_size) == ((Y,), 8)
    assert model.config == "name: 'm'"


def test_load_time_is_the_servers_where_it_was_asked_to_load(tmp_path: Path) -> None:
    """Not the 1.0 s that the worker's client took to connect, which is no load time at all."""
    model, _ = on_server(tmp_path, MODEL, load_seconds=4.5)
    assert model.load(1, lambda _: None).seconds == 4.5
    there_already, _ = on_server(tmp_path, MODEL)
    assert there_already.load(1, lambda _: None).seconds is None


def test_what_an_instance_noted_at_its_first_forward_is_among_the_notes(tmp_path: Path) -> None:
    """Only the process in the server knows that the model runs under autocast."""
    (tmp_path / "m" / "1").mkdir(parents=True)
    write_loaded(tmp_path / "m" / "1", "m_0", {"note": "under autocast"})
    model, _ = on_server(tmp_path, MODEL, directory=tmp_path / "m", notes=("smaller",))
    loaded = model.load(1, lambda _: None)
    assert (loaded.details["note"], loaded.details["client"]) == ("under autocast", "wire")
    assert model.notes == ["smaller", "under autocast"]


def test_what_the_instances_said_of_the_engine_is_in_what_loading_cost(tmp_path: Path) -> None:
    model, _ = on_server(tmp_path, MODEL, engine={"engine_bytes": 77, "sha256": "server's"})
    loaded = model.load(1, lambda _: None)
    assert loaded.bytes_on_disk == 77
    assert loaded.details == {"engine_bytes": 77, "sha256": "client's", "client": "wire"}
    plain, _ = on_server(tmp_path, MODEL)
    assert plain.load(1, lambda _: None).bytes_on_disk is None


class Server:
    """Notes which models it was told to unload, and how."""

    def __init__(self) -> None:
        self.unloaded: list[tuple[str, bool]] = []

    def unload(self, name: str, *, at_once: bool) -> None:
        self.unloaded.append((name, at_once))


@pytest.mark.parametrize(
    ("code", "at_once"),
    [("class TritonPythonModel: ...", True), ("def finalize(self): ...", False), (None, False)],
)
def test_a_model_without_a_last_word_is_unloaded_at_once(
    tmp_path: Path, code: str | None, at_once: bool
) -> None:
    directory = tmp_path / "run" / "triton" / "m_i2"
    (directory / "1").mkdir(parents=True)
    if code is not None:
        (directory / "1" / "model.py").write_text(code)
    model, _ = on_server(tmp_path, MODEL, directory=directory)
    server: Any = Server()
    model.unload(server)
    assert server.unloaded == [("m_i2", at_once)]
    assert model.directory == "triton/m_i2"


def test_a_directory_outside_of_the_run_is_not_named(tmp_path: Path) -> None:
    model, _ = on_server(tmp_path, MODEL, directory=tmp_path / "models" / "m")
    assert model.directory == ""
    assert made(tmp_path)[0].directory == ""
