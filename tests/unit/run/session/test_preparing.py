"""What is prepared before the rounds, for which models and in which formats."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from support.paths import DATA

from harness.errors import DeadlineError, UsageError
from harness.models.tensors import PreparedModel
from harness.results.events import Status
from harness.results.rows import ArtifactRow
from harness.run import waiting
from harness.run.session import preparing
from harness.run.session.preparing import Preparing, artifacts, formats, models, prepare
from harness.run.worker.messages import ModelPrepared
from harness.scenario.spec.scenario import Scenario

BACK = {"name": "back", "model": {"source": {"onnx": "back.onnx"}},
        "load": {"batch_size": 3, "concurrency": 1}}  # fmt: skip
THERE = {"name": "there", "load": {"concurrency": 1}}


def scenario(source: dict[str, Any], *backends: dict[str, Any]) -> Scenario:
    return Scenario.model_validate({
        "scenario": "s", "model": {"name": "m", "source": source}, "backends": backends,
        "load": {"batch_sizes": (1, 4), "concurrency": (1,)},
    })  # fmt: skip


def triton(**more: Any) -> dict[str, Any]:
    return {"kind": "triton", "protocol": "http", "name": "t", "serve": "onnxruntime", **more}


def test_formats_are_those_of_all_backends_and_none_for_what_needs_none() -> None:
    half = {"kind": "onnxruntime", "precision": "fp16", "provider": "CUDAExecutionProvider"}
    assert formats(scenario({"onnx": "m.onnx"}, triton(), half)) == ["onnx", "onnx_fp16"]
    assert formats(scenario({"onnx": "m.onnx"}, triton(), {"kind": "onnxruntime"})) == ["onnx"]
    assert formats(scenario({"fake": {}}, {"kind": "fake"})) == []


def test_a_co_located_model_is_prepared_for_the_batch_of_its_own_load() -> None:
    found = models(scenario({"onnx": "m.onnx"}, triton(colocated=(BACK,))))
    assert list(found) == ["", "t/back"]
    assert found[""][2] == (1, 4)
    model, wanted, sizes, (alone,) = found["t/back"]
    assert (model.name, wanted, sizes, alone.name) == ("back", ["onnx"], (3,), "back")


def test_a_model_that_is_on_the_server_needs_no_format() -> None:
    found = models(scenario({"triton": "front"}, {
        "kind": "triton", "protocol": "http", "name": "t", "server": {"repository": "models"},
        "colocated": (THERE,),
    }))  # fmt: skip
    assert [wanted for _, wanted, *_ in found.values()] == [[], []]


def test_an_artifact_of_two_models_is_told_once() -> None:
    model = PreparedModel("m", {}, "k", (), ())
    made = ArtifactRow("onnx", "/a", 1, 0.5, False)
    again, other = ArtifactRow("onnx", "/a", 1, 0.0, True), ArtifactRow("onnx", "/b", 1, 0.0, True)
    both = {"": (made,), "t/b": (again, other)}
    prepared = {key: ModelPrepared(model, Path(), rows) for key, rows in both.items()}
    assert list(artifacts(prepared)) == [made, other]


HANGS = """
import threading
import torch

def make():
    threading.Event().wait()

class Exported(torch.nn.Module):
    def forward(self, x):
        if torch.compiler.is_compiling() or torch.jit.is_tracing():
            threading.Event().wait()
        return x + 1
"""


def hanging(folder: Path, factory: str, **measurement: str) -> Scenario:
    pytest.importorskip("torch")
    (folder / "hangs.py").write_text(HANGS)
    backends = ({"kind": "onnxruntime"}, {"kind": "onnxruntime", "precision": "fp16"},
                {"kind": "torch"})  # fmt: skip
    return Scenario.model_validate({
        "scenario": "s", "backends": backends, "measurement": measurement,
        "model": {"name": "m", "source": {"torch": f"hangs:{factory}"},
                  "inputs": ({"name": "x", "shape": ("batch", 3)},)},
    })  # fmt: skip


@pytest.mark.parametrize("written", [True, False])
def test_a_factory_that_never_ends_is_waited_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    monkeypatch.setattr(preparing, "LOADED_S", 3.0)
    monkeypatch.setattr(waiting, "SAID_AFTER_S", 0.0)
    asked = {"load_timeout": "3s"} if written else {}
    scenario = hanging(tmp_path, "make", **asked)
    told: list[Status] = []
    with pytest.raises(DeadlineError) as caught:
        prepare(scenario, base=tmp_path, logs=tmp_path, cache=tmp_path, tell=told.append)
    assert "no answer to 'prepare' within 3 s" in caught.value.message
    assert "measurement: {load_timeout: 6s}" in (caught.value.fix or "")
    assert len(told) == 1
    assert told[0].text.startswith("still waiting for m to load, until ")
    assert told[0].text.endswith(" at most (measurement.load_timeout)")


def test_an_export_that_never_ends_is_waited_for_once_and_the_rest_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparing, "LOADED_S", 20.0)
    monkeypatch.setattr(preparing, "MADE_S", 1.0)  # the longer of both holds
    asked = []
    ask = Preparing._ask
    monkeypatch.setattr(
        Preparing, "_ask", lambda self, m, f, b: (asked.append(list(f)), ask(self, m, f, b))[1]
    )
    scenario = hanging(tmp_path, "Exported")
    made = prepare(scenario, base=tmp_path, logs=tmp_path, cache=tmp_path)[""].model
    assert set(made.files) == {"state_dict"}
    assert set(made.failures) == {"onnx", "onnx_fp16"}
    for reason, why, fix in made.failures.values():
        assert reason == "hung"
        assert "within 20 s" in why
        assert "load_timeout: 40s" in (fix or "")
    assert asked == [["onnx", "onnx_fp16", "torch"], ["torch"]]


def test_an_interrupt_does_not_wait_for_a_model_that_hangs(tmp_path: Path) -> None:
    scenario = hanging(tmp_path, "make")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    old = signal.signal(signal.SIGALRM, interrupted)
    signal.setitimer(signal.ITIMER_REAL, 3.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            prepare(scenario, base=tmp_path, logs=tmp_path, cache=tmp_path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert time.monotonic() - began < 10.0, "it waited as long as a worker may take to close"


def test_a_quantized_module_is_measured_as_what_it_is_or_not_at_all(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    spec = {
        "scenario": "s", "backends": ({"kind": "torch"}, {"kind": "torch", "precision": "int8"}),
        "model": {"name": "m", "source": {"torch": "sample_models:quantized"},
                  "inputs": ({"name": "x", "shape": ("batch", 8)},)},
    }  # fmt: skip
    folders = {"base": DATA / "models", "logs": tmp_path, "cache": tmp_path}
    with pytest.raises(UsageError) as caught:
        prepare(Scenario.model_validate(spec), **folders)
    assert "m is int8 (a quantized layer" in caught.value.message
    assert caught.value.message.endswith("and not fp32, as torch-cpu-fp32 would have it")
    assert "`precision: int8`" in (caught.value.fix or "")
    made = prepare(Scenario.model_validate(spec | {"backends": spec["backends"][1:]}), **folders)
    assert made[""].model.precision == "int8"


def test_the_worker_prepares_the_model_and_its_reference(tmp_path: Path) -> None:
    found = prepare(
        scenario({"fake": {}}, {"kind": "fake"}), base=tmp_path, logs=tmp_path, cache=tmp_path
    )
    assert list(found) == [""]
    assert found[""].model.name == "m"
    assert found[""].reference.is_dir()
    assert (tmp_path / "prepare.log").exists()
