"""Commands and answers on their way: what is written is read as the same, and nothing else is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, get_args

import pytest

from harness.backends.base import ServerAddress
from harness.backends.registry import parse_spec
from harness.errors import DeadlineError, MessageError, MissingPackageError
from harness.load.plan import LoadPlan, WindowSettings
from harness.load.schedule import Segment
from harness.measure.window import Window
from harness.models.tensors import PreparedModel, TensorSpec
from harness.results.events import Progress
from harness.results.rows import ArtifactRow, ParityRow
from harness.run.worker import messages
from harness.scenario.spec.model import ModelSpec, Parity
from harness.system import credentials

SPEC = TensorSpec("x", "float32", ("batch", 3))
MODEL = PreparedModel("m", {"fake": {}}, "k", (SPEC,), (), {"onnx": "/m.onnx"}, {"seq": 7})
TRITON: Any = parse_spec({
    "kind": "triton", "protocol": "http", "name": "t", "instances": [1, 2],
    "dynamic_batching": {"preferred": [4], "queue_delay": "500us"}, "env": {"A": ["1", "2"]},
    "colocated": [{"name": "d", "load": {"request_rate": 5}, "constraints": {}}],
})  # fmt: skip
PLAN = LoadPlan(segments=(Segment(1.0, 2.0, 3.0),), arrivals="gamma", cv=2.0, seed=10**15 + 1)
SETTINGS = WindowSettings(1.0, 2, 3.0, 4, 5.0, 6.0, 7.0)
WINDOW = Window(1, 2, True, {"count": 1.0}, {"count": 3.0}, 0.5, {"a": 7}, ((1, 2), (3, 4)))
COMMANDS: list[Any] = [
    messages.PrepareModel(
        ModelSpec.model_validate({"name": "m", "source": {"fake": {}}}), ("onnx",), (1, 2),
        Path("/c"), Path("/b"),
    ),
    messages.DescribeModel(TRITON, ServerAddress("h:1", None, "m", None)),
    *(
        messages.LoadBackend(parse_spec({"kind": kind, "name": "n"}), MODEL, 2)
        for kind in ("fake", "torch", "onnxruntime", "tensorrt")
    ),
    messages.LoadBackend(TRITON, MODEL, 2, (1, 2), 3.0, Path("/c"),
                         ServerAddress("h:1", "h:2", "m", "h:3")),
    messages.CompareOutputs(Parity(), (1, 2), Path("/r")),
    messages.MeasurePoint(PLAN, SETTINGS, 2, 3, Path("/s.npz")),
    messages.StartLoad(LoadPlan(4), 2, 3, 5.0),
    messages.StopLoad(Path("/s.npz")),
    messages.MeasureCeiling(4),
    messages.UnloadBackend(),
    messages.CloseWorker(),
]  # fmt: skip
MEASURED = (WINDOW, {"boom": 2}, 1, ("y: differs",), 12, {"readings": [], "problem": "no"})
ANSWERS: list[Any] = [
    messages.ModelPrepared(MODEL, Path("/r"), (ArtifactRow("onnx", "/m", 1, 0.5, True),)),
    messages.ModelDescribed((SPEC,), (SPEC,), 8, "name: 'm'"),
    messages.BackendLoaded(1.0, 2.0, None, {"warm": 3}, {"providers": ["a"], "n": 1}),
    messages.OutputsCompared((ParityRow("b", 1, "disagrees", "eager", max_abs_error=math.inf),)),
    messages.PointMeasured(*MEASURED),
    messages.LoadStarted(),
    messages.CeilingMeasured(10.5, 3),
    messages.BackendUnloaded(),
    messages.WorkerClosed(),
    Progress("window", 3, 0.5, None),
    messages.CommandFailed("hung", "no answer", None),
]


def test_every_command_is_read_as_it_was_written() -> None:
    assert {type(c) for c in COMMANDS} == set(get_args(messages.AnyCommand))
    for command in COMMANDS:
        line = messages.command_line(command)
        assert line.count(b"\n") == 1
        assert json.loads(line)["do"] == command.DO
        assert messages.read_command(line) == command


def test_every_answer_is_read_as_it_was_written() -> None:
    assert {type(a) for a in ANSWERS} == set(get_args(messages.AnyAnswer))
    for answer in ANSWERS:
        line = messages.answer_line(answer)
        assert line.count(b"\n") == 1
        found = messages.read_answer(line)
        assert (type(found), found) == (type(answer), answer)


def test_each_command_has_an_answer_of_its_own() -> None:
    pairs = {c.DO: c.answer_type.EVENT for c in COMMANDS}
    assert pairs == {
        "prepare": "prepared", "describe": "described", "load": "loaded", "parity": "parity",
        "measure": "measured", "start": "started", "stop": "measured", "ceiling": "ceiling",
        "unload": "unloaded", "close": "closed",
    }  # fmt: skip


@pytest.mark.parametrize(
    "line",
    [
        b"", b"no JSON\n", b"[1]\n", b"null\n", b"{}\n", b'{"do": ["load"]}\n',
        b'{"do": "dance"}\n', b'{"do": "loaded"}\n', b'{"do": "stop"}\n',
        b'{"do": "stop", "samples": 3}\n', b'{"do": "stop", "samples": "a", "more": 1}\n',
        b'{"do": "ceiling", "slots": "many"}\n', b'{"event": "stop", "samples": "a"}\n',
    ],
)  # fmt: skip
def test_what_is_no_command_is_an_error(line: bytes) -> None:
    with pytest.raises(MessageError, match="no message that is known"):
        messages.read_command(line)
    with pytest.raises(MessageError, match="no message that is known"):
        messages.read_answer(line)


def test_an_error_is_raised_as_what_it_was() -> None:
    error = messages.CommandFailed("missing_package", "no onnx", "pip install onnx").error
    assert type(error) is MissingPackageError
    assert (error.message, error.fix) == ("no onnx", "pip install onnx")
    assert isinstance(messages.CommandFailed("hung", "…").error, DeadlineError)


def test_an_answer_holds_the_placeholder_of_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "_placeholders", {'a "quoted" välue': "${TOKEN}"})
    answer = messages.CommandFailed("raised", 'no a "quoted" välue', None)
    found = messages.read_answer(messages.answer_line(answer))
    assert isinstance(found, messages.CommandFailed)
    assert found.message == "no ${TOKEN}"


def test_numbers_and_paths_of_a_runtime_become_json() -> None:
    details = {"path": Path("/x"), "odd": {1}}
    line = messages.answer_line(messages.BackendLoaded(1.0, 2.0, 3, {}, details))
    found = messages.read_answer(line)
    assert isinstance(found, messages.BackendLoaded)
    assert found.details == {"path": "/x", "odd": "{1}"}
